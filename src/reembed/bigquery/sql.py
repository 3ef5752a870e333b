"""GoogleSQL statements: borders, duplicates, the MERGE of an increment, the vector index.

Every name comes checked and quoted from `names`; values are literals made here. A user's condition
is SQL on purpose: it stands in brackets and on lines of its own, so that a comment in it ends
there and cannot swallow what follows. Only documented features are used. The tests run all of it
but the vector index on a local server, which translates SQL; BigQuery itself was not asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from reembed.bigquery.names import TableName, quoted
from reembed.bigquery.partitions import Key

_REMOVE = "`reembed_remove`"
_MARKED = ("`key`", "`content_hash`", "`part`")
_NO_PART = "CAST(NULL AS INT64) AS `part`"
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"}


# The service's own time, in milliseconds since the epoch. A moment by this machine's clock could
# lie in the service's future, which it refuses, or miss rows of the last seconds.
CLOCK_SQL = "SELECT UNIX_MILLIS(CURRENT_TIMESTAMP()) AS now"


def literal(value: Key) -> str:
    """Write a string or an integer as a GoogleSQL literal.

    Escapes: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#escape_sequences
    """
    if isinstance(value, int):
        return str(value)
    return "'" + "".join(_escaped(char) for char in value) + "'"


def source_sql(table: TableName, snapshot_ms: int | None, where: str = "") -> str:
    """Write a FROM clause: a table at a moment (milliseconds since the epoch), with a condition.

    The moment is a constant, as FOR SYSTEM_TIME AS OF requires, and at most seven days ago:
    https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#for_system_time_as_of
    """
    moment = ""
    if snapshot_ms is not None:
        moment = f" FOR SYSTEM_TIME AS OF TIMESTAMP_MILLIS({snapshot_ms})"
    return f"FROM {table.sql}{moment}" + (f"\nWHERE (\n{where}\n)" if where else "")


def select_sql(source: str, columns: Sequence[str]) -> str:
    """Select columns of a source: a FROM clause of `source_sql` or `result_sql`."""
    return f"SELECT {', '.join(quoted(column) for column in columns)}\n{source}"


def result_sql(query: str) -> str:
    """Write a FROM clause over a user's query; a semicolon at its end is left out."""
    return f"FROM (\n{query.rstrip().removesuffix(';')}\n)"


def key_in(key: str, keys: Sequence[Key]) -> str:
    """Write the condition that holds for rows of these keys."""
    return f"{quoted(key)} IN ({', '.join(literal(one) for one in keys)})"


def borders_sql(source: str, key: str, partitions: int) -> str:
    """Select one row by which a table is partitioned: `row_count`, `keyless_count`, `quantiles`.

    A row without a key has NULL there, or an empty text. APPROX_QUANTILES leaves NULLs out and
    returns `partitions` + 1 values from the least to the greatest (NULL for no values), roughly
    even in rank:
    https://cloud.google.com/bigquery/docs/reference/standard-sql/approximate_aggregate_functions
    Only the key's column is read and billed.

    Args:
        source: from `source_sql`.
        key: the column to partition by; STRING or INT64.
        partitions: how many, at least 1.
    """
    column = quoted(key)
    return (
        f"SELECT COUNT(*) AS row_count,\n"
        f"  COUNTIF(IFNULL(CAST({column} AS STRING), '') = '') AS keyless_count,\n"
        f"  APPROX_QUANTILES({column}, {partitions}) AS quantiles\n{source}"
    )


def duplicates_sql(source: str, key: str, examples: int) -> str:
    """Select `key` and `times` of the first keys that occur more than once, in key order."""
    column = quoted(key)
    return (
        f"SELECT {column} AS `key`, COUNT(*) AS times\n{source}\n"
        f"GROUP BY {column}\nHAVING COUNT(*) > 1\nORDER BY {column}\nLIMIT {examples}"
    )


def partition_condition(key: str, borders: Sequence[Key], partition: int) -> str:
    """Write the condition that holds for one partition's rows, for a query or a read session.

    It selects the same rows as `partition_of_keys`; empty where there is only one partition.
    """
    column = quoted(key)
    low = [
        f"{column} >= {literal(border)}"
        for border in borders[partition - 1 : partition]
        if partition
    ]
    high = [f"{column} < {literal(border)}" for border in borders[partition : partition + 1]]
    return " AND ".join([*low, *high])


def merge_sql(
    dest: TableName,
    staging: TableName,
    columns: Sequence[tuple[str, str]],
    deleted: TableName | None = None,
) -> str:
    """Write one MERGE that brings a table up to date, whole or not at all; it may be repeated.

    Of a key in `staging`, the rows of other content are deleted, and those of the parts that
    `staging` has; its other parts stay. All rows of the keys in `deleted` are deleted. The rows of
    `staging` are inserted. The same statement again leaves the same rows.

    The source holds rows marked for deletion: each key once, which matches rows of other content,
    and each part once, which matches the row of this part and content. The new rows are unmarked;
    they match nothing, and so are inserted. The source does not read the table itself.

    * MERGE fails when two source rows match one row of the table. So marked rows are distinct,
      those of keys match other content and those of parts equal content, and a key that is both
      deleted and staged has no marked parts.
      Correlated subqueries in WHEN and SET clauses are not supported: there are none.
      https://cloud.google.com/bigquery/docs/data-manipulation-language#limitations
    * It is billed for what it reads plus the whole table, since it deletes:
      https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax
    * The two halves of the source need equal types: a NULL is cast to its column's.
    * There is one clause for matches: the local server estimates no statement that has two.

    Rows that `staging` holds twice are inserted twice: `repeated_parts_sql` finds them before.

    Args:
        dest: the table, with columns `key`, `content_hash` and `part`.
        staging: the new rows, of the same columns, one `content_hash` a key; empty where only keys
            are deleted.
        columns: name and GoogleSQL type of all columns, the three above among them.
        deleted: a table whose column `key` holds the keys to remove; None: none.
    """
    names = [quoted(name) for name, _ in columns]
    marked = [
        name if name in _MARKED else f"CAST(NULL AS {kind}) AS {name}"
        for name, (_, kind) in zip(names, columns, strict=True)
    ]
    return f"""MERGE {dest.sql} AS T
USING (
  SELECT {", ".join(names)}, FALSE AS {_REMOVE} FROM {staging.sql}
  UNION ALL
  SELECT {", ".join(marked)}, TRUE AS {_REMOVE}
  FROM (
    {_marked(staging, deleted)}
  )
) AS S
ON S.{_REMOVE} AND T.`key` = S.`key` AND (
  S.`part` IS NULL AND (
    S.`content_hash` IS NULL OR T.`content_hash` IS NULL OR T.`content_hash` != S.`content_hash`
  )
  OR T.`part` = S.`part` AND T.`content_hash` = S.`content_hash`
)
WHEN MATCHED THEN DELETE
WHEN NOT MATCHED AND NOT S.{_REMOVE} THEN
  INSERT ({", ".join(names)}) VALUES ({", ".join(f"S.{name}" for name in names)})"""


def count_sql(table: TableName, keys: TableName | None = None) -> str:
    """Select one row, `row_count`: of a table, or of its rows whose keys another table holds."""
    condition = f" WHERE `key` IN (SELECT `key` FROM {keys.sql})" if keys is not None else ""
    return f"SELECT COUNT(*) AS row_count FROM {table.sql}{condition}"


def spaces_sql(table: TableName, examples: int) -> str:
    """Select `model`, `dimensions` and `task` of the vectors in a table, each combination once."""
    return (
        f"SELECT DISTINCT `model`, `dimensions`, `task` FROM {table.sql}\n"
        f"ORDER BY `model`, `dimensions`, `task`\nLIMIT {examples}"
    )


def rows_sql(table: TableName, columns: Sequence[str]) -> str:
    """Select the rows of the keys in the parameter `keys` (``ARRAY<STRING>``)."""
    names = ", ".join(quoted(name) for name in columns)
    return f"SELECT {names} FROM {table.sql} WHERE `key` IN UNNEST(@keys)"


def probe_sql(table: TableName) -> str:
    """Write a statement that changes nothing but needs permission to; for a dry run."""
    return f"DELETE FROM {table.sql} WHERE FALSE"


def view_sql(table: TableName) -> str:
    """Write the query of a view of a whole table."""
    return f"SELECT * FROM {table.sql}"


def repeated_parts_sql(table: TableName, examples: int) -> str:
    """Select `key`, `part` and `times` of the first parts that a table holds more than once."""
    return (
        f"SELECT `key`, `part`, COUNT(*) AS times\nFROM {table.sql}\nGROUP BY `key`, `part`\n"
        f"HAVING COUNT(*) > 1\nORDER BY `key`, `part`\nLIMIT {examples}"
    )


def vector_index_sql(
    table: TableName, column: str, name: str, storing: Sequence[str] = (), kind: str = "IVF"
) -> str:
    """Write the statement that makes a vector index where there is none of its name.

    The column is an ARRAY<FLOAT64> of one length without NULLs; only IVF stores more columns:
    https://cloud.google.com/bigquery/docs/vector-index. BigQuery refuses an index over
    less than 5,000 rows.

    Args:
        table: the table that holds the vectors.
        column: their column.
        name: the index's name, without a dataset.
        storing: columns to hold in the index too, of IVF only.
        kind: IVF or TREE_AH.

    Raises:
        ValueError: another kind, or a TREE_AH that is to store columns.
    """
    if kind not in ("IVF", "TREE_AH"):
        raise ValueError(f"{kind!r} is no kind of vector index; use IVF or TREE_AH")
    if kind == "TREE_AH" and storing:
        raise ValueError("a TREE_AH index stores no columns; use IVF, or leave them out")
    # Quoted as one: the local server does not parse this statement's table otherwise.
    whole = f"`{table.project}.{table.dataset}.{table.table}`"
    stored = f"\nSTORING ({', '.join(quoted(inner) for inner in storing)})" if storing else ""
    return (
        f"CREATE VECTOR INDEX IF NOT EXISTS {quoted(name)}\nON {whole}({quoted(column)})"
        f"{stored}\nOPTIONS (index_type = '{kind}', distance_type = 'COSINE')"
    )


def _marked(staging: TableName, deleted: TableName | None) -> str:
    """Select a MERGE's marked rows: keys without part, removed keys without content; parts."""
    keys = f"SELECT `key`, MAX(`content_hash`) AS `content_hash`, {_NO_PART} FROM {staging.sql}"
    parts = f"SELECT DISTINCT `key`, `content_hash`, `part` FROM {staging.sql}"
    if deleted is None:
        return f"{keys} GROUP BY `key`\n    UNION ALL {parts}"
    others = f" WHERE `key` NOT IN (SELECT `key` FROM {deleted.sql})"
    removed = f"SELECT DISTINCT `key`, CAST(NULL AS STRING) AS `content_hash`, {_NO_PART}"
    unions = (f"{keys}{others} GROUP BY `key`", f"{parts}{others}", f"{removed} FROM {deleted.sql}")
    return "\n    UNION ALL ".join(unions)


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    return char if char >= " " and char != "\x7f" else f"\\u{ord(char):04x}"
