#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int esp_err_t;
typedef const char *esp_event_base_t;
typedef void (*esp_event_handler_t)(void *, esp_event_base_t, int32_t, void *);
#define ESP_EVENT_ANY_ID (-1)

typedef struct esp_mqtt_client *esp_mqtt_client_handle_t;

typedef enum esp_mqtt_event_id_t {
  MQTT_EVENT_ANY = -1,
  MQTT_EVENT_ERROR = 0,
  MQTT_EVENT_CONNECTED,
  MQTT_EVENT_DISCONNECTED,
  MQTT_EVENT_SUBSCRIBED,
  MQTT_EVENT_UNSUBSCRIBED,
  MQTT_EVENT_PUBLISHED,
  MQTT_EVENT_DATA,
} esp_mqtt_event_id_t;

typedef struct esp_mqtt_event_t {
  esp_mqtt_event_id_t event_id;
  esp_mqtt_client_handle_t client;
  char *data;
  int data_len;
  char *topic;
  int topic_len;
} esp_mqtt_event_t;
typedef esp_mqtt_event_t *esp_mqtt_event_handle_t;

typedef struct esp_mqtt_client_config_t {
  struct {
    struct {
      const char *uri;
      const char *hostname;
      uint32_t port;
    } address;
    struct {
      const char *certificate;
      size_t certificate_len;
      const char **alpn_protos;
    } verification;
  } broker;
  struct {
    const char *username;
    const char *client_id;
    struct {
      const char *certificate;
      size_t certificate_len;
      const char *key;
      size_t key_len;
    } authentication;
  } credentials;
} esp_mqtt_client_config_t;

esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *config);
esp_err_t esp_mqtt_client_start(esp_mqtt_client_handle_t client);
esp_err_t esp_mqtt_client_register_event(
    esp_mqtt_client_handle_t client, esp_mqtt_event_id_t event, esp_event_handler_t event_handler,
    void *event_handler_arg);
int esp_mqtt_client_publish(
    esp_mqtt_client_handle_t client, const char *topic, const char *data, int len, int qos, int retain);
/* In ESP-IDF 5 a macro that takes a topic or a list of them (_Generic). */
int esp_mqtt_client_subscribe_single(esp_mqtt_client_handle_t client, const char *topic, int qos);
#define esp_mqtt_client_subscribe(client, topic, qos) esp_mqtt_client_subscribe_single(client, topic, qos)
