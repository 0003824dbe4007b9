import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Kafka Streams as its manual shows it: grouped by key, hopping windows, one aggregate.
 *
 * One thread, RocksDB with its changelog topic, at least once, with its defaults. In its favour the
 * updates go nowhere, the sums are 32 plain bytes, and the JVM has read a part of the same topic
 * with another application id before it is measured.
 */
public final class KafkaStreamsSums {
  private static volatile long counted = 0;
  private static final Map<String, Sums> LATEST = new ConcurrentHashMap<>();

  /** What is read of a contact. */
  @JsonIgnoreProperties(ignoreUnknown = true)
  public static final class Contact {
    public long talk_ms;
    public long hold_ms;
    public long wrap_ms;
    public boolean resolved;
  }

  /** What one window of one agent adds up to. */
  record Sums(long handleMs, long handled, long resolved, long resolvedKnown) {
    Sums plus(Contact c) {
      long handle = c.talk_ms + c.hold_ms + c.wrap_ms;
      return new Sums(handleMs + handle, handled + 1, resolved + (c.resolved ? 1 : 0), resolvedKnown + 1);
    }

    static byte[] write(Sums s) {
      return ByteBuffer.allocate(32)
          .putLong(s.handleMs).putLong(s.handled).putLong(s.resolved).putLong(s.resolvedKnown)
          .array();
    }

    static Sums read(byte[] bytes) {
      ByteBuffer b = ByteBuffer.wrap(bytes);
      return new Sums(b.getLong(), b.getLong(), b.getLong(), b.getLong());
    }
  }

  private static Serde<Contact> contacts() {
    ObjectMapper json = new ObjectMapper();
    Deserializer<Contact> read = (topic, bytes) -> {
      try {
        return json.readValue(bytes, Contact.class);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    };
    return Serdes.serdeFrom((topic, contact) -> null, read);
  }

  private static Serde<Sums> sums() {
    return Serdes.serdeFrom(
        (topic, s) -> s == null ? null : Sums.write(s),
        (topic, bytes) -> bytes == null ? null : Sums.read(bytes));
  }

  private static KafkaStreams streams(String application, boolean wantsSums) {
    Properties told = new Properties();
    told.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
    told.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, env("BROKER"));
    told.put(StreamsConfig.STATE_DIR_CONFIG, env("DATA"));
    told.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);

    StreamsBuilder builder = new StreamsBuilder();
    KTable<Windowed<String>, Sums> table = builder
        .stream(env("TOPIC"), Consumed.with(Serdes.String(), contacts()))
        .peek((agent, contact) -> counted++)
        .groupByKey()
        .windowedBy(TimeWindows
            .ofSizeAndGrace(Duration.ofSeconds(300), Duration.ofSeconds(60))
            .advanceBy(Duration.ofSeconds(60)))
        .aggregate(
            () -> new Sums(0, 0, 0, 0),
            (agent, contact, total) -> total.plus(contact),
            Materialized.<String, Sums, WindowStore<Bytes, byte[]>>as("sums")
                .withKeySerde(Serdes.String())
                .withValueSerde(sums()));
    if (wantsSums) {
      table.toStream().foreach((window, total) ->
          LATEST.put(window.key() + " " + window.window().start() / 1000, total));
    }
    return new KafkaStreams(builder.build(), told);
  }

  private static void warmUp(long records) throws InterruptedException {
    if (records > 0) {
      KafkaStreams streams = streams(env("APP") + "-warm-up", false);
      streams.start();
      while (counted < records) {
        Thread.sleep(20);
      }
      streams.close();
      streams.cleanUp();
      counted = 0;
    }
  }

  private static void tell() {
    Path file = Path.of(env("COUNTED"));
    try {
      while (true) {
        Files.writeString(file, counted + "\n");
        Thread.sleep(100);
      }
    } catch (IOException | InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private static void tellSums() {
    StringBuilder json = new StringBuilder("{");
    LATEST.forEach((window, s) -> json.append(json.length() == 1 ? "" : ", ").append(String.format(
        "\"%s\": [%d, %d, %d, %d]", window, s.handleMs, s.handled, s.resolved, s.resolvedKnown)));
    Path file = Path.of(env("SUMS"));
    Path part = Path.of(env("SUMS") + ".part");
    try {
      Files.writeString(part, json.append("}").toString());
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String env(String name) {
    return System.getenv("BENCH_" + name);
  }

  public static void main(String[] arguments) throws InterruptedException {
    boolean wantsSums = env("SUMS") != null;
    warmUp(Long.parseLong(env("WARM_UP")));
    Thread teller = new Thread(KafkaStreamsSums::tell);
    teller.setDaemon(true);
    teller.start();
    KafkaStreams streams = streams(env("APP"), wantsSums);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      if (wantsSums) {
        streams.close(Duration.ofSeconds(15)); // its caches are written then
        tellSums();
      }
    }));
    streams.start();
    Thread.currentThread().join();
  }
}
