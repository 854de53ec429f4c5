//! The derive that turns a plain struct into a Kafka protocol message.
