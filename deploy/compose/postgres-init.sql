-- Runs once, on an empty database: the application's account is an ordinary
-- one that owns its database, and the replica's may only replicate.
\set ON_ERROR_STOP on
\set password `cat /run/secrets/database_password`
\set replica `cat /run/secrets/replica_password`
CREATE ROLE hikyaku LOGIN PASSWORD :'password';
CREATE DATABASE hikyaku OWNER hikyaku;
REVOKE ALL ON DATABASE hikyaku FROM PUBLIC;
CREATE ROLE replica LOGIN REPLICATION PASSWORD :'replica';
