#!/bin/sh
# What each part of kpi-stream may do on a Kafka with an authorizer, and nothing beyond it.
#
#   BOOTSTRAP=kafka:9092 sh acls.sh --command-config admin.properties
#
# `kafka-acls.sh` has to be on the PATH; what is given here goes to it. Adding twice is adding once.
# Nobody here may create topics: let an administrator do it, or a worker at its first start, with
# `Create` on the topics below for that once. Names are those of kpi-stream.yaml.
set -eu

: "${BOOTSTRAP:?where Kafka is, such as kafka:9092}"
APP=${APP:-kpi-stream}
INTERACTIONS=${INTERACTIONS:-interactions}
SURVEYS=${SURVEYS:-surveys}
AGENT_FACTS=${AGENT_FACTS:-agent-facts}
KPIS=${KPIS:-kpis}
ALERTS=${ALERTS:-alerts}
DEAD_LETTERS=${DEAD_LETTERS:-dead-letters}
ROSTER=${ROSTER:-roster}

options=$*
# Read and Write imply Describe.
allow() {
  who=$1
  shift
  # shellcheck disable=SC2086 # several words
  kafka-acls.sh --bootstrap-server "$BOOTSTRAP" $options --add --allow-principal "User:$who" "$@"
}

# --- producers: whoever knows of contacts and surveys. They read nothing.
allow "${PRODUCER:-kpi-producer}" --operation Write --topic "$INTERACTIONS" --topic "$SURVEYS"

# --- workers, and `kpi-stream replay`: they read events and their own state, and write results,
# which they cannot read.
worker=${WORKER:-kpi-worker}
allow "$worker" --operation Read --topic "$INTERACTIONS" --topic "$SURVEYS"
allow "$worker" --operation Read --operation Write --operation DescribeConfigs \
  --topic "$AGENT_FACTS" --topic "$APP-rows-changelog" \
  --topic "$APP-rollups" --topic "$APP-rollups-changelog"
allow "$worker" --operation Write --operation DescribeConfigs \
  --topic "$KPIS" --topic "$ALERTS" --topic "$DEAD_LETTERS"
allow "$worker" --operation Read --group "$APP"
allow "$worker" --operation Write --resource-pattern-type prefixed \
  --transactional-id "$APP-rows-" --transactional-id "$APP-rollups-"

# --- `kpi-stream notify`: it reads alerts and the roster, and keeps what it has told.
notify=${NOTIFY:-kpi-notify}
allow "$notify" --operation Read --topic "$ALERTS" --topic "$ROSTER"
allow "$notify" --operation Read --operation Write --topic "$APP-notified"
allow "$notify" --operation Write --transactional-id "$APP-notify"

# --- readers: walls, `kpi-stream tail kpis|alerts`, and programs of your own, in groups whose
# names begin with the app's name and `-reader`.
reader=${READER:-kpi-reader}
allow "$reader" --operation Read --topic "$KPIS" --topic "$ALERTS"
allow "$reader" --operation Read --resource-pattern-type prefixed --group "$APP-reader"

# --- support: `kpi-stream tail dead-letters`, which hold what customers wrote.
allow "${SUPPORT:-kpi-support}" --operation Read --topic "$DEAD_LETTERS"

# --- menders: `kpi-stream dead-letters replay`.
mender=${MENDER:-kpi-mender}
allow "$mender" --operation Read --topic "$DEAD_LETTERS"
allow "$mender" --operation Write \
  --topic "$INTERACTIONS" --topic "$SURVEYS" --topic "$AGENT_FACTS"
allow "$mender" --operation Read --operation Write --operation Create \
  --topic "$APP-dead-letters-replayed"
allow "$mender" --operation Write --transactional-id "$APP-dead-letters-replay"
