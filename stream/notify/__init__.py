"""From the `alerts` topic to those who have to act, by Alertmanager or by their mail and chat."""
