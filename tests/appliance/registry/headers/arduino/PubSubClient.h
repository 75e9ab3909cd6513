#pragma once

#include <Arduino.h>

#include <functional>

class PubSubClient {
 public:
  explicit PubSubClient(Client& client);
  PubSubClient& setServer(const char* domain, uint16_t port);
  PubSubClient& setCallback(std::function<void(char*, uint8_t*, unsigned int)> callback);
  boolean setBufferSize(uint16_t size);
  boolean connect(const char* id);
  boolean connected();
  boolean loop();
  int state();
  boolean subscribe(const char* topic, uint8_t qos);
  boolean publish(const char* topic, const char* payload);
};
