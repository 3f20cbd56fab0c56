//! `select=` and `order=` → what to show, embed and sort by.
//!
//! Pure text to values; names are matched with tables later.
//! Wire source: PostgREST 14 query grammar.

use super::scan::{Field, Parsed, Scanner};

/// One item of a select list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// `*`
    Every,
    Column {
        field: Field,
        alias: Option<String>,
        cast: Option<String>,
    },
    Embed(Embed),
    /// `count()` or `column.sum()`, which this cloud never computes.
    Aggregate,
}

/// A related table inside a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Embed {
    pub(crate) relation: String,
    pub(crate) alias: Option<String>,
    pub(crate) hint: Option<String>,
    /// Whether a parent without a match is dropped.
    pub(crate) inner: bool,
    pub(crate) spread: bool,
    pub(crate) items: Vec<Item>,
}

/// One sort key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderTerm {
    /// The to-one embed the field belongs to.
    pub(crate) relation: Option<String>,
    pub(crate) field: Field,
    pub(crate) descending: bool,
    /// Where nulls go; last when ascending and first when descending, if not said.
    pub(crate) nulls_first: Option<bool>,
}

/// Embeds nested deeper than this are refused.
const MAX_DEPTH: usize = 30;
const AGGREGATES: [&str; 5] = ["sum()", "avg()", "min()", "max()", "count()"];

/// Reads a select list; blank selects nothing.
pub(crate) fn parse_select(text: &str) -> Parsed<Vec<Item>> {
    let mut scanner = Scanner::new(text);
    let items = items(&mut scanner, 0)?;
    // A closing parenthesis too many ends the list, as it does in a logic tree.
    if scanner.is_done() || scanner.peek() == Some(')') { Ok(items) } else { scanner.fail("\",\" or end of input") }
}

fn items(scanner: &mut Scanner, depth: usize) -> Parsed<Vec<Item>> {
    scanner.spaces();
    if scanner.is_done() || scanner.peek() == Some(')') {
        return Ok(Vec::new());
    }
    if depth > MAX_DEPTH {
        return scanner.fail("a shallower select");
    }
    let mut found = Vec::new();
    loop {
        found.push(item(scanner, depth)?);
        scanner.spaces();
        if !scanner.eat(',') {
            return Ok(found);
        }
        scanner.spaces();
    }
}

fn item(scanner: &mut Scanner, depth: usize) -> Parsed<Item> {
    if scanner.eat('*') {
        return Ok(Item::Every);
    }
    let spread = scanner.eat_word("...");
    if !spread && scanner.eat_word("count()") {
        cast(scanner)?;
        return Ok(Item::Aggregate);
    }
    let start = scanner.position();
    let mut alias = None;
    if !spread
        && let Some(name) = scanner.name()
        && scanner.eat(':')
        && scanner.peek() != Some(':')
    {
        alias = Some(name);
    } else {
        scanner.return_to(start);
    }
    if alias.is_some() && scanner.eat_word("count()") {
        cast(scanner)?;
        return Ok(Item::Aggregate);
    }
    let before_name = scanner.position();
    let name = match scanner.name() {
        Some(name) => name,
        None => return scanner.fail("field name (* or [a..z0..9_$])"),
    };
    let (mut hint, mut inner) = (None, false);
    while scanner.eat('!') {
        match scanner.expect_name()?.as_str() {
            "inner" => inner = true,
            "left" => {}
            other => hint = Some(other.to_owned()),
        }
    }
    if scanner.eat('(') {
        let items = items(scanner, depth + 1)?;
        if !scanner.eat(')') {
            return scanner.fail("\",\" or \")\"");
        }
        return Ok(Item::Embed(Embed { relation: name, alias, hint, inner, spread, items }));
    }
    if spread || inner || hint.is_some() {
        return scanner.fail("\"(\"");
    }
    scanner.return_to(before_name);
    let field = scanner.field()?;
    if scanner.eat('.') {
        if AGGREGATES.iter().any(|name| scanner.eat_word(name)) {
            cast(scanner)?;
            return Ok(Item::Aggregate);
        }
        return scanner.fail("aggregate function (avg(), count(), max(), min(), sum())");
    }
    let cast = cast(scanner)?;
    match scanner.peek() {
        None | Some(',' | ')') => Ok(Item::Column { field, alias, cast }),
        Some(_) => scanner.fail("\",\", \")\" or end of input"),
    }
}

fn cast(scanner: &mut Scanner) -> Parsed<Option<String>> {
    if scanner.eat_word("::") { scanner.expect_name().map(Some) } else { Ok(None) }
}

/// Reads a sort list.
pub(crate) fn parse_order(text: &str) -> Parsed<Vec<OrderTerm>> {
    let mut scanner = Scanner::new(text);
    let mut terms = Vec::new();
    loop {
        scanner.spaces();
        terms.push(term(&mut scanner)?);
        scanner.spaces();
        if scanner.is_done() {
            return Ok(terms);
        }
        if !scanner.eat(',') {
            return scanner.fail("\",\" or end of input");
        }
    }
}

fn term(scanner: &mut Scanner) -> Parsed<OrderTerm> {
    let start = scanner.position();
    let mut relation = scanner.name();
    if relation.is_some() && scanner.eat('(') {
        // A field of an embed follows.
    } else {
        relation = None;
        scanner.return_to(start);
    }
    let field = scanner.field()?;
    if relation.is_some() && !scanner.eat(')') {
        return scanner.fail("\")\"");
    }
    let mut term = OrderTerm { relation, field, descending: false, nulls_first: None };
    if scanner.eat_word(".desc") {
        term.descending = true;
    } else {
        scanner.eat_word(".asc");
    }
    if scanner.eat_word(".nullsfirst") {
        term.nulls_first = Some(true);
    } else if scanner.eat_word(".nullslast") {
        term.nulls_first = Some(false);
    }
    match scanner.peek() {
        None | Some(',' | ' ') => Ok(term),
        Some('.') => {
            scanner.advance();
            scanner.fail("\"asc\", \"desc\", \"nullsfirst\" or \"nullslast\"")
        }
        Some(_) => scanner.fail("\",\" or end of input"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The items in a compact form.
    fn shown(items: &[Item]) -> String {
        let one = |item: &Item| match item {
            Item::Every => "*".to_owned(),
            Item::Aggregate => "aggregate".to_owned(),
            Item::Column { field, alias, cast } => {
                format!(
                    "{}={}/{}~{}",
                    alias.as_deref().unwrap_or(""),
                    field.name,
                    field.path.len(),
                    cast.as_deref().unwrap_or("")
                )
            }
            Item::Embed(embed) => format!(
                "{}={}!{}{}({})",
                embed.alias.as_deref().unwrap_or(""),
                embed.relation,
                embed.hint.as_deref().unwrap_or(""),
                if embed.inner { "!inner" } else { "" },
                shown(&embed.items)
            ),
        };
        items.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn select_lists_are_read() {
        for (text, expected) in [
            ("", ""),
            ("*", "*"),
            ("id, name", "=id/0~ =name/0~"),
            ("n:name::text,data->a->>b", "n=name/0~text =data/2~"),
            ("*,organizations(*)", "* =organizations!(*)"),
            ("o:organizations!fk!inner(id,p:profiles(*))", "o=organizations!fk!inner(=id/0~ p=profiles!(*))"),
            ("rel!inner!hint()", "=rel!hint!inner()"),
            ("\"odd,name\",x", "=odd,name/0~ =x/0~"),
            ("count(),total:amount.sum()", "aggregate aggregate"),
            ("id::text", "=id/0~text"),
            ("id)", "=id/0~"),
        ] {
            assert_eq!(shown(&parse_select(text).unwrap()), expected, "{text}");
        }
        for text in [",", "a,", "a(b", "a!x", "a->", "a:", "...a", "a b(c)d", "("] {
            assert!(parse_select(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sort_lists_are_read() {
        let terms = parse_order("a.desc.nullslast,b,c->>k.asc, rel(col).desc,d.nullsfirst").unwrap();
        let shown: Vec<String> = terms
            .iter()
            .map(|term| {
                format!(
                    "{}{} {} {:?}",
                    term.relation.as_deref().unwrap_or(""),
                    term.field.name,
                    if term.descending { "desc" } else { "asc" },
                    term.nulls_first
                )
            })
            .collect();
        assert_eq!(shown, ["a desc Some(false)", "b asc None", "c asc None", "relcol desc None", "d asc Some(true)"]);
        for text in ["", "a.up", "a,", "a.desc.asc", "a.nullslast.desc", "rel(a"] {
            assert!(parse_order(text).is_err(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_text_makes_a_parser_panic(text in "[a-z.(),\"\\\\> :!*0-9-]{0,40}|.{0,40}") {
            let _ = parse_select(&text);
            let _ = parse_order(&text);
        }
    }
}
