//! One partition's log in Kafka's on-disk format, and the directories that hold many.
