#!/bin/sh
# Creates and migrates Temporal's two databases; safe to repeat. Connection: SQL_PLUGIN, SQL_HOST, SQL_PORT, SQL_USER, SQL_PASSWORD.
set -eu
for pair in temporal:temporal temporal_visibility:visibility; do
    database=${pair%%:*}
    temporal-sql-tool --db "$database" create-database || true # is there already
    temporal-sql-tool --db "$database" setup-schema -v 0.0 || true # is there already
    temporal-sql-tool --db "$database" update-schema --schema-name "postgresql/v12/${pair#*:}"
done
