-- Runs once, when the volume is empty. Temporal makes its own databases (temporal-schema.sh).
CREATE ROLE quartermaster LOGIN PASSWORD 'quartermaster';
CREATE DATABASE quartermaster OWNER quartermaster;
