//! What a select list names: columns with alias, cast and aggregate, and embedded relations.
//!
//! [`Item`] → text of one item. Wire source: PostgREST "Vertical Filtering", "Aggregate Functions" and `QueryParams`
//! (`pFieldSelect`).
use super::{
    Column, Embed,
    name::{is_word, push_name},
};

const NO_RELATION: &str = "a select list names columns of its own relation only: use Embed for those of another";
const NO_TYPE: &str = "the name of a type to cast to may hold letters, digits, blanks and _ only";

/// One item of a select list. Plain text is a column (`"*"`: all of them), see [`Column`].
#[derive(Clone, Debug)]
pub struct Item(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Every,
    Field(Field),
    Embed(Box<Embed>),
}

/// A column of the answer: under another name, cast to another type, or summed up over rows.
///
/// Aggregates group by the other columns of the list; a server allows them only when told to.
///
/// ```
/// # use cloud_client::{Client, rest::Field};
/// # let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo")?.build();
/// let sales = client
///     .table("sales")
///     .select(["region"])
///     .column(Field::new("amount").sum().cast("text").alias("total"))
///     .column(Field::new("data->address->>city").alias("city"))
///     .column(Field::count_rows());
/// let sent = sales.url_query().replace("%3A", ":").replace("-%3E", "->").replace("%3E", ">");
/// assert_eq!(sent, "select=region,total:amount.sum()::text,city:data->address->>city,count()");
/// # Ok::<(), cloud_client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// `None` stands for whole rows, which can only be counted.
    column: Option<Column>,
    alias: Option<String>,
    cast: Option<String>,
    aggregate: Option<&'static str>,
    /// What the aggregate's result is cast to.
    result_cast: Option<String>,
}

impl Field {
    /// This column as it is.
    pub fn new(column: impl Into<Column>) -> Self {
        Self { column: Some(column.into()), alias: None, cast: None, aggregate: None, result_cast: None }
    }

    /// How many rows there are.
    pub fn count_rows() -> Self {
        Self { column: None, alias: None, cast: None, aggregate: Some("count"), result_cast: None }
    }

    /// Names it in the answer. Default: the column, or the last key of a JSON path.
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.alias = Some(name.into());
        self
    }

    /// Casts to a type, such as `text`; behind an aggregate, its result.
    pub fn cast(mut self, type_name: impl Into<String>) -> Self {
        let cast = if self.aggregate.is_some() { &mut self.result_cast } else { &mut self.cast };
        *cast = Some(type_name.into());
        self
    }

    fn aggregate(mut self, function: &'static str) -> Self {
        self.aggregate = Some(function);
        self
    }

    /// The sum over the rows.
    pub fn sum(self) -> Self {
        self.aggregate("sum")
    }

    /// The mean over the rows.
    pub fn avg(self) -> Self {
        self.aggregate("avg")
    }

    /// The least value.
    pub fn min(self) -> Self {
        self.aggregate("min")
    }

    /// The greatest value.
    pub fn max(self) -> Self {
        self.aggregate("max")
    }

    /// How many rows have a value here.
    pub fn count(self) -> Self {
        self.aggregate("count")
    }

    fn push(&self, out: &mut String, embedded: bool) {
        if let Some(alias) = &self.alias {
            push_name(out, alias);
            out.push(':');
        }
        if let Some(column) = &self.column {
            column.push(out);
            // Before `)` the server takes an index for a key; a cast that changes nothing stands between them.
            let index = column.ends_with_index().filter(|_| embedded && self.aggregate.is_none());
            let between = index.map(|as_text| if as_text { "text" } else { "jsonb" });
            if let Some(cast) = self.cast.as_deref().or(between) {
                out.push_str("::");
                out.push_str(cast);
            }
        }
        if let Some(function) = self.aggregate {
            out.push_str(if self.column.is_some() { "." } else { "" });
            out.push_str(function);
            out.push_str("()");
        }
        if let Some(cast) = &self.result_cast {
            out.push_str("::");
            out.push_str(cast);
        }
    }

    fn fault(&self) -> Option<&'static str> {
        let casts = self.cast.iter().chain(&self.result_cast);
        if self.column.as_ref().is_some_and(|column| !column.embeds().is_empty()) {
            Some(NO_RELATION)
        } else if !casts.into_iter().all(|cast| is_word(cast)) {
            Some(NO_TYPE)
        } else {
            None
        }
    }
}

impl Item {
    pub(super) fn embed(&self) -> Option<&Embed> {
        if let Kind::Embed(embed) = &self.0 { Some(embed) } else { None }
    }

    pub(super) fn is_aggregate(&self) -> bool {
        matches!(&self.0, Kind::Field(field) if field.aggregate.is_some())
    }

    fn push(&self, out: &mut String, embedded: bool) {
        match &self.0 {
            Kind::Every => out.push('*'),
            Kind::Field(field) => field.push(out, embedded),
            Kind::Embed(embed) => embed.push(out),
        }
    }

    pub(super) fn fault(&self) -> Option<&'static str> {
        if let Kind::Field(field) = &self.0 { field.fault() } else { None }
    }
}

/// Writes the list of `items`, at the top or inside the parentheses of an embed.
pub(super) fn push_list(out: &mut String, items: &[Item], embedded: bool) {
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        item.push(out, embedded);
    }
}

macro_rules! item_from_plain {
    ($($from:ty),+) => { $(impl From<$from> for Item {
        fn from(plain: $from) -> Self {
            if plain == "*" { Self(Kind::Every) } else { Field::new(plain).into() }
        }
    })+ };
}
item_from_plain!(&str, String, &String);

impl From<Column> for Item {
    fn from(column: Column) -> Self {
        Field::new(column).into()
    }
}

impl From<Field> for Item {
    fn from(field: Field) -> Self {
        Self(Kind::Field(field))
    }
}

impl From<Embed> for Item {
    fn from(embed: Embed) -> Self {
        Self(Kind::Embed(Box::new(embed)))
    }
}
