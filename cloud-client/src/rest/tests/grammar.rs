//! A second reading of the grammar, made from the server's own parser and not from the builders: query text → what the
//! server would take it for. It gives up (`None`) where the server answers `PGRST100`.
//! Wire source: PostgREST `ApiRequest/QueryParams.hs`; PostgreSQL "Array Input and Output Syntax".

/// A query string as the server understands it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Request {
    pub(super) select: Vec<Selected>,
    pub(super) conditions: Vec<Condition>,
    pub(super) orders: Vec<(Vec<String>, Vec<Sorted>)>,
    pub(super) limits: Vec<(Vec<String>, usize)>,
    pub(super) name_lists: Vec<(String, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) steps: Vec<(bool, Key)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Key {
    Name(String),
    Index(i64),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    Leaf { path: Vec<String>, place: Place, negated: bool, operator: String, operand: Operand },
    Tree { path: Vec<String>, negated: bool, word: &'static str, parts: Vec<Self> },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Text(String),
    List(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Selected {
    Every,
    Field { alias: Option<String>, place: Place, cast: Option<String>, aggregate: Option<String> },
    Relation { alias: Option<String>, name: String, marks: Vec<String>, spread: bool, items: Vec<Self> },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sorted {
    pub(super) relation: Option<String>,
    pub(super) place: Place,
    pub(super) rest: String,
}

pub(super) fn read(query: &str) -> Option<Request> {
    let mut request = Request::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let (prefix, last) = name.rsplit_once('.').unwrap_or(("", &name));
        match (last, &*name) {
            ("order", _) => request.orders.push((relations(prefix)?, whole(&value, |s| s.separated(Scan::sorted))?)),
            ("limit" | "offset", _) => request.limits.push((relations(prefix)?, value.parse().ok()?)),
            ("and" | "or", _) => {
                let names = whole(&name, |s| s.dotted())?;
                let negated = names.iter().any(|part| part == "not");
                let path = names.iter().filter(|part| *part != "not").take(names.len()).cloned();
                let path: Vec<_> = path.take_while(|part| part != last).collect();
                let mut scan = Scan::new(&value);
                request.conditions.push(scan.branches(path, negated, if last == "or" { "or" } else { "and" })?);
            }
            (_, "select") => request.select = whole(&value, Scan::items)?,
            (_, "columns" | "on_conflict") => {
                request.name_lists.push((name.to_string(), whole(&value, |s| s.separated(Scan::name))?));
            }
            _ => {
                let (path, place) = whole(&name, Scan::path)?;
                let (negated, operator, operand) = whole(&value, |s| s.operation(false))?;
                request.conditions.push(Condition::Leaf { path, place, negated, operator, operand });
            }
        }
    }
    Some(request)
}

fn relations(prefix: &str) -> Option<Vec<String>> {
    if prefix.is_empty() { Some(Vec::new()) } else { whole(prefix, |scan| scan.dotted()) }
}

fn whole<T>(text: &str, parse: impl FnOnce(&mut Scan) -> Option<T>) -> Option<T> {
    let mut scan = Scan::new(text);
    let found = parse(&mut scan)?;
    (scan.at == scan.chars.len()).then_some(found)
}

/// The elements of a one-dimensional array literal; `None` inside is null.
pub(super) fn array(text: &str) -> Option<Vec<Option<String>>> {
    let mut scan = Scan::new(text);
    scan.eat("{").then_some(())?;
    let mut elements = Vec::new();
    if scan.eat("}") {
        return Some(elements);
    }
    loop {
        elements.push(if let Some(quoted) = scan.quoted() {
            Some(quoted)
        } else {
            let bare = scan.take(|c| !"{},\"\\".contains(c) && !c.is_whitespace());
            (!bare.is_empty()).then_some(())?;
            (!bare.eq_ignore_ascii_case("null")).then_some(bare)
        });
        if scan.eat("}") {
            return (scan.at == scan.chars.len()).then_some(elements);
        }
        scan.eat(",").then_some(())?;
    }
}

struct Scan {
    chars: Vec<char>,
    at: usize,
}

impl Scan {
    fn new(text: &str) -> Self {
        Self { chars: text.chars().collect(), at: 0 }
    }

    fn sees(&self, text: &str) -> bool {
        let rest = self.chars.get(self.at..).unwrap_or_default();
        text.chars().enumerate().all(|(n, c)| rest.get(n) == Some(&c))
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.sees(text);
        self.at += if found { text.chars().count() } else { 0 };
        found
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let taken: String = self.chars.iter().skip(self.at).take_while(|c| wanted(**c)).collect();
        self.at += taken.chars().count();
        taken
    }

    fn attempt<T>(&mut self, parse: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let found = parse(self);
        self.at = if found.is_some() { self.at } else { start };
        found
    }

    fn quoted(&mut self) -> Option<String> {
        self.attempt(|scan| {
            scan.eat("\"").then_some(())?;
            let mut text = String::new();
            loop {
                let next = *scan.chars.get(scan.at)?;
                scan.at += 1;
                match next {
                    '"' => return Some(text),
                    '\\' => {
                        text.push(*scan.chars.get(scan.at)?);
                        scan.at += 1;
                    }
                    other => text.push(other),
                }
            }
        })
    }

    fn dashed(&mut self, inner: impl Fn(char) -> bool) -> Option<String> {
        let mut out = String::new();
        loop {
            let part = self.take(&inner);
            (!part.is_empty()).then_some(())?;
            out.push_str(part.trim());
            if !self.sees("-") || self.sees("->") {
                return Some(out);
            }
            self.at += 1;
            out.push('-');
        }
    }

    fn name(&mut self) -> Option<String> {
        self.quoted().or_else(|| self.dashed(|c| c.is_alphabetic() || c.is_ascii_digit() || "_ $".contains(c)))
    }

    fn dotted(&mut self) -> Option<Vec<String>> {
        let mut names = vec![self.name()?];
        while self.eat(".") {
            names.push(self.name()?);
        }
        Some(names)
    }

    fn path(&mut self) -> Option<(Vec<String>, Place)> {
        let mut names = self.dotted()?;
        let name = names.pop()?;
        Some((names, Place { name, steps: self.steps()? }))
    }

    fn place(&mut self) -> Option<Place> {
        Some(Place { name: self.name()?, steps: self.steps()? })
    }

    fn steps(&mut self) -> Option<Vec<(bool, Key)>> {
        let mut steps = Vec::new();
        while self.eat("->") {
            let as_text = self.eat(">");
            let index = self.attempt(|scan| {
                let sign = if scan.eat("-") { "-" } else { "" };
                let index = format!("{sign}{}", scan.take(|c| c.is_ascii_digit())).parse().ok()?;
                let ends = scan.at == scan.chars.len() || ["->", "::", ".", ","].iter().any(|end| scan.sees(end));
                ends.then_some(Key::Index(index))
            });
            let named = |scan: &mut Self| scan.quoted().or_else(|| scan.dashed(|c| !"(-:.,>)".contains(c)));
            steps.push((as_text, index.or_else(|| named(self).map(Key::Name))?));
        }
        Some(steps)
    }

    fn operation(&mut self, in_tree: bool) -> Option<(bool, String, Operand)> {
        let negated = self.eat("not.");
        let mut operator = self.take(|c| c.is_ascii_lowercase());
        let known = "eq neq gt gte lt lte like ilike match imatch in is isdistinct cs cd ov sl sr nxr nxl adj fts plfts phfts wfts";
        known.split(' ').find(|word| *word == operator)?;
        if self.eat("(") {
            operator = format!("{operator}({})", self.take(|c| c.is_ascii_alphanumeric() || "_ ".contains(c)));
            self.eat(")").then_some(())?;
        }
        self.eat(".").then_some(())?;
        let operand = match operator.as_str() {
            "in" => Operand::List(self.list()?),
            "is" => Operand::Text(self.take(|c| c.is_ascii_alphabetic() || c == '_')),
            _ if in_tree => Operand::Text(self.element()),
            _ => Operand::Text(self.take(|_| true)),
        };
        Some((negated, operator, operand))
    }

    /// A quoted text, if a separator follows it, else everything up to one.
    fn element(&mut self) -> String {
        let quoted = self.attempt(|scan| {
            let quoted = scan.quoted()?;
            let ends = scan.at == scan.chars.len() || scan.sees(",") || scan.sees(")");
            ends.then_some(quoted)
        });
        quoted.unwrap_or_else(|| self.take(|c| !",)".contains(c)))
    }

    fn list(&mut self) -> Option<Vec<String>> {
        self.eat("(").then_some(())?;
        let mut elements = vec![self.element()];
        while self.eat(",") {
            elements.push(self.element());
        }
        self.eat(")").then_some(())?;
        // How the server reads an empty list.
        Some(if elements == [""] { Vec::new() } else { elements })
    }

    fn branches(&mut self, path: Vec<String>, negated: bool, word: &'static str) -> Option<Condition> {
        self.eat("(").then_some(())?;
        let mut parts = vec![self.branch()?];
        while self.eat(",") {
            parts.push(self.branch()?);
        }
        self.eat(")").then_some(Condition::Tree { path, negated, word, parts })
    }

    fn branch(&mut self) -> Option<Condition> {
        let leaf = self.attempt(|scan| {
            let place = scan.place()?;
            scan.eat(".").then_some(())?;
            let (negated, operator, operand) = scan.operation(true)?;
            Some(Condition::Leaf { path: Vec::new(), place, negated, operator, operand })
        });
        leaf.or_else(|| {
            let negated = self.eat("not.");
            let word = if self.eat("and") { "and" } else { self.eat("or").then_some("or")? };
            self.branches(Vec::new(), negated, word)
        })
    }

    fn separated<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut found = vec![one(self)?];
        while self.eat(",") {
            found.push(one(self)?);
        }
        Some(found)
    }

    fn sorted(&mut self) -> Option<Sorted> {
        let relation = self.attempt(|scan| {
            let name = scan.name()?;
            scan.eat("(").then_some(name)
        });
        let place = self.place()?;
        (relation.is_none() || self.eat(")")).then_some(())?;
        Some(Sorted { relation, place, rest: self.take(|c| c.is_ascii_lowercase() || c == '.') })
    }

    fn items(&mut self) -> Option<Vec<Selected>> {
        if self.at == self.chars.len() || self.sees(")") {
            return Some(Vec::new());
        }
        self.separated(Self::item)
    }

    fn item(&mut self) -> Option<Selected> {
        if self.eat("*") {
            return Some(Selected::Every);
        }
        let spread = self.eat("...");
        let alias = self.attempt(|scan| {
            let alias = scan.name()?;
            (scan.eat(":") && !scan.sees(":")).then_some(alias)
        });
        let relation = self.attempt(|scan| {
            let name = scan.name().filter(|name| name != "count")?;
            let mut marks = Vec::new();
            while scan.eat("!") {
                // These two are looked for first, even at the beginning of a longer name.
                let fixed = ["left", "inner"].into_iter().find(|word| scan.eat(word));
                marks.push(
                    fixed.map_or_else(|| scan.name().map(|hint| format!("hint {hint}")), |word| Some(word.into()))?,
                );
            }
            scan.eat("(").then_some(())?;
            let items = scan.items()?;
            scan.eat(")").then_some(Selected::Relation { alias: alias.clone(), name, marks, spread, items })
        });
        relation.or_else(|| {
            let word =
                |scan: &mut Self| scan.eat("::").then(|| scan.take(|c| c.is_ascii_alphanumeric() || "_ ".contains(c)));
            if self.eat("count()") {
                let place = Place { name: "*".to_owned(), steps: Vec::new() };
                return Some(Selected::Field { alias, place, cast: word(self), aggregate: Some("count".to_owned()) });
            }
            let place = self.place()?;
            let cast = word(self);
            let aggregate = if self.eat(".") { Some(self.take(|c| c.is_ascii_lowercase())) } else { None };
            (aggregate.is_none() || self.eat("()")).then_some(())?;
            let cast = cast.or_else(|| word(self));
            (!spread).then_some(Selected::Field { alias, place, cast, aggregate })
        })
    }
}
