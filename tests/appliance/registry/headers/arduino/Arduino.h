// What every sketch is given.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint8_t byte;
typedef bool boolean;

class HardwareSerial {
 public:
  void begin(unsigned long baud);
  size_t printf(const char* format, ...) __attribute__((format(printf, 2, 3)));
};
extern HardwareSerial Serial;

class Client {
 public:
  virtual ~Client() {}
};

unsigned long millis();
void delay(uint32_t ms);
float temperatureRead();

void setup();
void loop();
