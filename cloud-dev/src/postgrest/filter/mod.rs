//! Filters and logic trees: `eq.1`, `not.in.(1,2)`, `or=(a.eq.1,not.and(…))` → [`Tree`].
//!
//! Pure text to values. The meaning of a value (its type) is decided later, against the column; here only
//! the four ways of quoting are undone. A top-level value is taken verbatim, a value in a list or tree may
//! be quoted, an array literal follows PostgreSQL's own rules.
//! Wire source: PostgREST 14 query grammar; PostgreSQL array input.

use super::{
    scan::{Field, Parsed, Scanner},
    text_search::Form,
};

/// A condition on one node of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    Leaf(Filter),
    Group { negated: bool, joiner: Joiner, items: Vec<Self> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joiner {
    And,
    Or,
}

/// One test of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) field: Field,
    pub(crate) negated: bool,
    pub(crate) test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Compare { operator: Operator, quantifier: Option<Quantifier>, value: String },
    In(Vec<String>),
    Is(Truth),
    IsDistinct(String),
    Search { form: Form, configuration: Option<String>, text: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Eq,
    Neq,
    Gt,
    Gte,
    Lt,
    Lte,
    Like,
    Ilike,
    Match,
    Imatch,
    Contains,
    ContainedIn,
    Overlaps,
    LeftOf,
    RightOf,
    NotBeyond,
    NotBefore,
    Adjacent,
}

impl Operator {
    /// Whether only text has the operator.
    pub(crate) const fn is_for_text(self) -> bool {
        matches!(self, Self::Like | Self::Ilike | Self::Match | Self::Imatch)
    }

    /// The SQL operator, as PostgreSQL names it in messages.
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Neq => "<>",
            Self::Gt => ">",
            Self::Gte => ">=",
            Self::Lt => "<",
            Self::Lte => "<=",
            Self::Like => "~~",
            Self::Ilike => "~~*",
            Self::Match => "~",
            Self::Imatch => "~*",
            Self::Contains => "@>",
            Self::ContainedIn => "<@",
            Self::Overlaps => "&&",
            Self::LeftOf => "<<",
            Self::RightOf => ">>",
            Self::NotBeyond => "&<",
            Self::NotBefore => "&>",
            Self::Adjacent => "-|-",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantifier {
    Any,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    Null,
    NotNull,
    True,
    False,
    Unknown,
}

/// Operators that take `(any)` and `(all)`, longest spelling first.
const QUANTIFIABLE: [(&str, Operator); 9] = [
    ("eq", Operator::Eq),
    ("gte", Operator::Gte),
    ("gt", Operator::Gt),
    ("lte", Operator::Lte),
    ("lt", Operator::Lt),
    ("like", Operator::Like),
    ("ilike", Operator::Ilike),
    ("match", Operator::Match),
    ("imatch", Operator::Imatch),
];
const SIMPLE: [(&str, Operator); 9] = [
    ("neq", Operator::Neq),
    ("cs", Operator::Contains),
    ("cd", Operator::ContainedIn),
    ("ov", Operator::Overlaps),
    ("sl", Operator::LeftOf),
    ("sr", Operator::RightOf),
    ("nxr", Operator::NotBeyond),
    ("nxl", Operator::NotBefore),
    ("adj", Operator::Adjacent),
];
const EXPECTED: &str = "\"not\" or operator (eq, gt, ...)";

/// Logic trees nested deeper than this are refused.
const MAX_DEPTH: usize = 100;

/// Where a value stands, which decides how it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Alone,
    InTree,
}

/// Reads the right-hand side of `column=…`.
pub(crate) fn parse_value(text: &str) -> Parsed<(bool, Test)> {
    operation(&mut Scanner::new(text), Place::Alone)
}

/// Reads `and(…)`, `or(…)` or their negations, as assembled from a parameter's name and value.
pub(crate) fn parse_tree(text: &str) -> Parsed<Tree> {
    tree(&mut Scanner::new(text), 0)
}

fn tree(scanner: &mut Scanner, depth: usize) -> Parsed<Tree> {
    scanner.spaces();
    let start = scanner.position();
    let as_filter = leaf(scanner);
    if let Ok(filter) = as_filter {
        return Ok(Tree::Leaf(filter));
    }
    scanner.return_to(start);
    let negated = scanner.eat_word("not.");
    let joiner = if scanner.eat_word("and") {
        Joiner::And
    } else if scanner.eat_word("or") {
        Joiner::Or
    } else {
        scanner.return_to(start);
        return as_filter.map(Tree::Leaf);
    };
    scanner.spaces();
    if !scanner.eat('(') {
        // Neither a group nor a filter: the filter's own complaint is the more useful one.
        return as_filter.map(Tree::Leaf);
    }
    if depth >= MAX_DEPTH {
        return scanner.fail("a shallower logic tree");
    }
    let mut items = Vec::new();
    loop {
        items.push(tree(scanner, depth + 1)?);
        scanner.spaces();
        if !scanner.eat(',') {
            break;
        }
    }
    if !scanner.eat(')') {
        return scanner.fail("\",\" or \")\"");
    }
    scanner.spaces();
    Ok(Tree::Group { negated, joiner, items })
}

fn leaf(scanner: &mut Scanner) -> Parsed<Filter> {
    let field = scanner.field()?;
    if !scanner.eat('.') {
        return scanner.fail("logic operator (and, or) or \".\"");
    }
    let (negated, test) = operation(scanner, Place::InTree)?;
    Ok(Filter { field, negated, test })
}

fn operation(scanner: &mut Scanner, place: Place) -> Parsed<(bool, Test)> {
    let negated = scanner.eat_word("not.");
    let start = scanner.position();
    if scanner.eat_word("in.") {
        return Ok((negated, Test::In(list(scanner)?)));
    }
    if scanner.eat_word("is.") {
        return Ok((negated, Test::Is(truth(scanner)?)));
    }
    if scanner.eat_word("isdistinct.") {
        return Ok((negated, Test::IsDistinct(value(scanner, place))));
    }
    // The complaint is about the furthest place that still looked like an operator.
    let mut furthest = start;
    for form in Form::ALL {
        if scanner.eat_word(form.word()) {
            let configuration = configuration(scanner);
            if scanner.eat('.') {
                return Ok((negated, Test::Search { form, configuration, text: value(scanner, place) }));
            }
            furthest = furthest.max(scanner.position());
            scanner.return_to(start);
        }
    }
    for (name, operator) in SIMPLE {
        if scanner.eat_word(name) {
            if scanner.eat('.') {
                return Ok((negated, Test::Compare { operator, quantifier: None, value: value(scanner, place) }));
            }
            furthest = furthest.max(scanner.position());
            scanner.return_to(start);
        }
    }
    for (name, operator) in QUANTIFIABLE {
        if scanner.eat_word(name) {
            let quantifier = if scanner.eat_word("(any)") {
                Some(Quantifier::Any)
            } else if scanner.eat_word("(all)") {
                Some(Quantifier::All)
            } else {
                None
            };
            if scanner.eat('.') {
                return Ok((negated, Test::Compare { operator, quantifier, value: value(scanner, place) }));
            }
            furthest = furthest.max(scanner.position());
            scanner.return_to(start);
        }
    }
    scanner.return_to(furthest);
    scanner.fail(if furthest == start { EXPECTED } else { "\".\"" })
}

/// The name of a text search configuration in parentheses; takes nothing if there is none.
fn configuration(scanner: &mut Scanner) -> Option<String> {
    let start = scanner.position();
    if scanner.eat('(') {
        let name = scanner.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ' '));
        if !name.is_empty() && scanner.eat(')') {
            return Some(name.trim_matches(' ').to_owned());
        }
    }
    scanner.return_to(start);
    None
}

fn value(scanner: &mut Scanner, place: Place) -> String {
    match place {
        Place::Alone => scanner.rest(),
        Place::InTree => quoted_element(scanner).or_else(|| braced(scanner)).unwrap_or_else(|| bare(scanner)),
    }
}

fn bare(scanner: &mut Scanner) -> String {
    scanner.take_while(|c| c != ',' && c != ')')
}

/// A quoted text that really ends where the element ends; otherwise quotes are ordinary characters.
fn quoted_element(scanner: &mut Scanner) -> Option<String> {
    let start = scanner.position();
    let text = scanner.quoted()?;
    if matches!(scanner.peek(), None | Some(',' | ')')) {
        return Some(text);
    }
    scanner.return_to(start);
    None
}

fn braced(scanner: &mut Scanner) -> Option<String> {
    let start = scanner.position();
    if scanner.eat('{') {
        let inner = scanner.take_while(|c| c != '{' && c != '}');
        if scanner.eat('}') {
            return Some(format!("{{{inner}}}"));
        }
    }
    scanner.return_to(start);
    None
}

fn list(scanner: &mut Scanner) -> Parsed<Vec<String>> {
    scanner.spaces();
    if !scanner.eat('(') {
        return scanner.fail("\"(\"");
    }
    scanner.spaces();
    let mut items = Vec::new();
    loop {
        items.push(quoted_element(scanner).unwrap_or_else(|| bare(scanner)));
        if !scanner.eat(',') {
            break;
        }
    }
    if !scanner.eat(')') {
        return scanner.fail("\",\" or \")\"");
    }
    scanner.spaces();
    Ok(items)
}

fn truth(scanner: &mut Scanner) -> Parsed<Truth> {
    for (word, truth) in [
        ("null", Truth::Null),
        ("not_null", Truth::NotNull),
        ("true", Truth::True),
        ("false", Truth::False),
        ("unknown", Truth::Unknown),
    ] {
        if scanner.eat_word_any_case(word) {
            return Ok(truth);
        }
    }
    scanner.fail("isVal: (null, not_null, true, false, unknown)")
}

/// Reads a one-dimensional PostgreSQL array literal; `None` is an element that is SQL null.
pub(crate) fn parse_array(text: &str) -> Option<Vec<Option<String>>> {
    let mut scanner = Scanner::new(text.trim_matches(' '));
    if !scanner.eat('{') {
        return None;
    }
    let mut items = Vec::new();
    scanner.spaces();
    if scanner.eat('}') {
        return scanner.is_done().then_some(items);
    }
    loop {
        scanner.spaces();
        if let Some(quoted) = scanner.quoted() {
            items.push(Some(quoted));
        } else {
            let mut element = String::new();
            while let Some(next) = scanner.peek().filter(|c| !matches!(c, ',' | '}' | '{' | '"')) {
                scanner.advance();
                element.push(if next == '\\' { scanner.advance()? } else { next });
            }
            let element = element.trim_matches(' ');
            if element.is_empty() {
                return None;
            }
            items.push((!element.eq_ignore_ascii_case("null")).then(|| element.to_owned()));
        }
        scanner.spaces();
        match scanner.advance() {
            Some(',') => {}
            Some('}') => return scanner.is_done().then_some(items),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
