"""What somebody with bad intent would ask: each must fail at the rules, and again at the walls."""

from __future__ import annotations

from pathlib import Path

HASH, TOKEN, KEY, ENVIRONMENT = (
    "mark-of-a-password-hash",
    "mark-of-a-token-hash",
    "mark-of-the-session-key",
    "mark-of-the-environment",
)
MARKS = (HASH, TOKEN, KEY, ENVIRONMENT, "root:x:0:0")
"""What no answer may tell; the last is how /etc/passwd begins."""


def attacks(home: Path, allowed: str, withheld_file: str, catalogue: Path) -> list[str]:
    """Questions that reach for what is withheld.

    Args:
        home: the console's folder.
        allowed: a folder that may be read, with a slash.
        withheld_file: a Parquet file of `users`.
        catalogue: the copy of the catalogue.
    """
    return [
        # files by function, by name, by relative path, by a link, by pattern
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_csv_auto('/etc/passwd', header=false)",
        "SELECT * FROM '/etc/passwd'",
        'SELECT * FROM "/etc/passwd"',
        "SELECT * FROM E'/etc/\\x70asswd'",
        "SELECT * FROM '/proc/self/environ'",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM read_text('/proc/self/cmdline')",
        "SELECT * FROM read_text('/proc/1/environ')",
        f"SELECT * FROM read_text('{home}/secret.key')",
        f"SELECT * FROM read_blob('{home}/catalogue.duckdb')",
        f"SELECT * FROM read_parquet('{withheld_file}')",
        f"SELECT * FROM '{withheld_file}'",
        f"SELECT * FROM parquet_metadata('{withheld_file}')",
        f"SELECT * FROM parquet_schema('{withheld_file}')",
        f"SELECT * FROM read_parquet('{home}/parquet/**/*.parquet', union_by_name=true)",
        f"SELECT * FROM read_text('{allowed}../../../secret.key')",
        f"SELECT * FROM read_text('{allowed}./../../../secret.key')",
        f"SELECT * FROM read_text('{allowed}link/secret.key')",
        f"SELECT * FROM glob('{home}/**')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM read_json('/etc/passwd')",
        "SELECT * FROM read_ndjson_objects('/etc/passwd')",
        "SELECT * FROM read_duckdb('/etc/passwd', table_name='x')",
        f"SELECT * FROM ducklake_list_files('warehouse', 'users')",  # noqa: F541
        # files by way of SQL in a text
        "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
        "SELECT * FROM query_table('/etc/passwd')",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql("
        "'SELECT content FROM read_text(''/etc/passwd'')'))",
        # the network
        "SELECT * FROM 'http://127.0.0.1:1/x.parquet'",
        "SELECT * FROM read_csv('https://example.com/x.csv')",
        "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
        "ATTACH 'postgres:host=127.0.0.1 port=1' AS p (TYPE postgres)",
        # writing
        f"COPY (SELECT 1) TO '{home}/written.csv'",
        f"COPY (SELECT 1) TO '{allowed}written.parquet'",
        f"COPY (SELECT 1 AS x) TO '{allowed}' (FORMAT parquet, PARTITION_BY (x), APPEND)",
        "COPY (SELECT 1) TO '/dev/shm/pilothouse-written.csv'",
        f"EXPORT DATABASE '{home}/written'",
        f"ATTACH '{home}/written.duckdb' AS w",
        f"ATTACH '{catalogue}' AS c",
        "CREATE TABLE warehouse.main.t AS SELECT 1",
        "INSERT INTO pools SELECT * FROM pools",
        "UPDATE pools SET pool = 'x'",
        "DELETE FROM pools",
        "DROP TABLE pools",
        "CALL ducklake_add_data_files('warehouse', 'pools', '/etc/passwd')",
        "CALL ducklake_expire_snapshots('warehouse', older_than => now())",
        f"CALL enable_logging(storage = 'file', storage_path = '{home}/written')",
        f"PRAGMA profile_output = '{home}/written.json'",
        # settings, secrets, the environment
        "SET enable_external_access = true",
        "SET GLOBAL lock_configuration = false",
        "RESET enable_external_access",
        "SET memory_limit = '100GB'",
        "SET allowed_directories = ['/']",
        "PRAGMA memory_limit = '100GB'",
        "SELECT getenv('PILOTHOUSE_TEST')",
        "SELECT current_setting('PILOTHOUSE_TEST')",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM which_secret('s3://bucket/x', 's3')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_databases()",
        "SELECT * FROM duckdb_logs()",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pg_catalog.pg_settings",
        "SELECT * FROM sqlite_master",
        "SHOW DATABASES",
        "PRAGMA database_list",
        "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
        # code
        "INSTALL httpfs",
        "LOAD '/tmp/x.duckdb_extension'",
        "LOAD httpfs",
        "CREATE MACRO f() AS 1",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "SELECT * FROM python_map_function()",
        # tables that are withheld, and the catalogue beneath
        "SELECT * FROM users",
        "SELECT * FROM USERS",
        'SELECT * FROM "users"',
        "SELECT * FROM warehouse.main.users",
        "SELECT * FROM main.api_tokens",
        "SELECT password_hash FROM (SELECT * FROM users)",
        "WITH u AS (SELECT * FROM users) SELECT * FROM u",
        "SELECT (SELECT max(password_hash) FROM users)",
        "SELECT * FROM pools WHERE EXISTS (FROM users)",
        "DESCRIBE users",
        "SUMMARIZE users",
        "SELECT * FROM audit_events",
        "SELECT * FROM __ducklake_metadata_warehouse.ducklake_file_column_stats",
        "SELECT * FROM __ducklake_metadata_warehouse.main.ducklake_table_column_stats",
        "SELECT * FROM pools AT (VERSION => 1)",
        "SELECT * FROM warehouse.snapshots()",
        # several at once, and tricks with comments
        "SELECT 1; SELECT * FROM users",
        "SELECT 1; COPY (SELECT 1) TO '/dev/shm/pilothouse-written.csv'",
        "SELECT 1 /* ; */; ATTACH '/dev/shm/w.duckdb' AS w --",
        "/* SELECT 1 */ SET threads = 64",
        "SELECT * FROM/**/read_text/**/('/etc/passwd')",
        "SELECT 1 UNION ALL SELECT content FROM read_text('/etc/passwd') --",
        "EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')",
        "CHECKPOINT",
        "BEGIN",
        "SELECT $1",
        "",
        "-- nothing",
    ]


PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from warehouse import analyst_process as process

given = json.loads(sys.stdin.readline())
brief = process.Brief(**given["brief"])
connection = process.prepared(given.get("extensions") or ("ducklake",))
walls = given["walls"]
process.open_copy(connection, brief)
if "settings" in walls:
    process.close_doors(connection, brief)
stands = "system" in walls and process.close_off_for(brief)
if "settings" in walls:
    process.lock(connection, brief)
print(json.dumps(stands), flush=True)
for attack in given["attacks"]:
    cursor = connection.cursor()
    try:
        cursor.execute("USE warehouse")
        table = cursor.execute(attack).to_arrow_table()
        told = ["answered", str(table.to_pydict())]
    except Exception as error:
        told = ["failed", type(error).__name__]
    print(json.dumps(told), flush=True)
"""
"""Runs attacks past the rules, behind the walls that it is told to put up, a line of JSON each."""
