#!/bin/sh
# Runs once, while the database server's storage is made: Stagedoor's own role and database.
# The role owns its database and no more; the server's superuser stays behind.
set -eu
psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres \
    --set=password="$STAGEDOOR_DB_PASSWORD" <<'SQL'
CREATE ROLE stagedoor LOGIN PASSWORD :'password';
CREATE DATABASE stagedoor OWNER stagedoor;
SQL
