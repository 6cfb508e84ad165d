//! Many runs in no time: copies of one, made in the database itself.

/// SQL that copies what a table has of the run `of`, once for each of the numbers. `columns` are the table's, `id` is the one
/// that names the run. The copies are named by [`copy`].
pub fn copies_sql(
    table: &str,
    columns: &[String],
    id: &str,
    of: &str,
    numbers: std::ops::RangeInclusive<u32>,
) -> String {
    let prefix = prefix(of);
    let made = columns
        .iter()
        .map(|name| if name == id { format!("printf('{prefix}%012d', n.i)") } else { format!("t.{name}") });
    let (first, last) = numbers.into_inner();
    format!(
        "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) \
         INSERT INTO {table} ({}) SELECT {} FROM n CROSS JOIN {table} t WHERE t.{id} = '{of}'",
        columns.join(", "),
        made.collect::<Vec<_>>().join(", ")
    )
}

/// The id of a copy of the run `of`.
pub fn copy(of: &str, number: u32) -> String {
    format!("{}{number:012}", prefix(of))
}

/// All of an id but its last part.
fn prefix(of: &str) -> &str {
    &of[..24]
}
