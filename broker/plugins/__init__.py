"""Plugins written for amqtt. Nothing here imports amqtt until a plugin is configured."""
