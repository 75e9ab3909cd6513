"""An MQTT broker that knows nothing of the product."""
