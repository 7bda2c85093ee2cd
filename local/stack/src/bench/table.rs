//! Tables that are readable in a terminal and valid Markdown, and number formats.

/// A table with the first column aligned left and the others right.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heading[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::from("|");
        for (column, (cell, width)) in cells.zip(&widths).enumerate() {
            line += &if column == 0 { format!(" {cell:<width$} |") } else { format!(" {cell:>width$} |") };
        }
        line + "\n"
    };
    let mut table = line(&mut heading.iter().copied());
    for (column, width) in widths.iter().enumerate() {
        table +=
            &if column == 0 { format!("|{}", "-".repeat(width + 2)) } else { format!("|{}:", "-".repeat(width + 1)) };
    }
    table += "|\n";
    for row in rows {
        table += &line(&mut row.iter().map(String::as_str));
    }
    table
}

/// Mebibytes, which Lambda calls MB.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / f64::from(1 << 20))
}

/// The median; of an even number of values the upper of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_their_widest_cell() {
        let rows =
            [vec!["offer".to_owned(), "4.2 ms".to_owned()], vec!["empty, in Rust".to_owned(), "1 ms".to_owned()]];
        let expected = "| function       |   init |\n|----------------|-------:|\n\
                        | offer          | 4.2 ms |\n| empty, in Rust |   1 ms |\n";
        assert_eq!(table(&["function", "init"], &rows), expected);
    }

    #[test]
    fn median_is_the_middle_value() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(Vec::new()), None);
    }
}
