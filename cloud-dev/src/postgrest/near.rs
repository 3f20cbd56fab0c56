//! Which column a misspelt name probably meant.
//!
//! Wire source: PostgreSQL, the hint of an undefined column.

/// A name further away than this many edits is not meant.
const MAX_DISTANCE: usize = 3;

/// The one or two closest `names`; none if three are equally close.
pub(crate) fn nearest<'n>(names: impl Iterator<Item = &'n str>, wrong: &str) -> Vec<&'n str> {
    let (mut best, mut found) = (MAX_DISTANCE, Vec::new());
    for name in names {
        let distance = edits(name, wrong);
        if distance > wrong.len() / 2 || distance > best {
            continue;
        }
        if distance < best {
            best = distance;
            found.clear();
        }
        found.push(name);
    }
    if found.len() > 2 { Vec::new() } else { found }
}

/// Insertions, deletions and replacements between two texts.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, from) in from.chars().enumerate() {
        let mut next = vec![line + 1];
        for ((above, diagonal), to) in row.iter().skip(1).zip(&row).zip(&to) {
            let replaced = diagonal + usize::from(from != *to);
            let left = next.last().copied().unwrap_or(0);
            next.push(replaced.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_column() {
        let names = ["id", "name", "done", "created_at"];
        for (wrong, expected) in [
            ("nme", &["name"][..]),
            ("nope", &["name", "done"]),
            ("create_at", &["created_at"]),
            ("helicopter", &[]),
            ("x", &[]),
        ] {
            assert_eq!(nearest(names.into_iter(), wrong), expected, "{wrong}");
        }
    }
}
