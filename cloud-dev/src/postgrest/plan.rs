//! A parsed query and the tables → a tree of [`Node`]s, one for the table and one for each embed.
//!
//! Here names become tables and relationships, and every filter, order and bound finds the node it speaks
//! of. Columns are looked up later, by the SQL writer, which reports a missing one as PostgreSQL would.
//! Wire source: PostgREST 14, "Resource embedding".

use http::StatusCode;

use super::{
    error::{ApiError, Outcome},
    filter::Tree,
    json::Json,
    request::{Path, Query},
    select::{Embed, Item, OrderTerm},
};
use crate::core::schema::{self, ForeignKey, Table};

/// A table of the answer, with what the request says about it.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) table: &'a Table,
    /// The name of its rows in SQL: `t0`, `t1`, …
    pub(crate) row: String,
    pub(crate) outputs: Vec<Output>,
    pub(crate) conditions: Vec<Tree>,
    pub(crate) order: Vec<OrderTerm>,
    pub(crate) limit: Option<i64>,
    pub(crate) offset: Option<i64>,
    pub(crate) embeds: Vec<Embedded<'a>>,
}

/// One thing an object shows; an embed by its position in [`Node::embeds`].
#[derive(Debug)]
pub(crate) enum Output {
    Item(Item),
    Embed(usize),
}

/// A node inside another.
#[derive(Debug)]
pub(crate) struct Embedded<'a> {
    /// The key in the answer, and the name parameters use.
    pub(crate) name: String,
    relation: String,
    pub(crate) link: Link<'a>,
    /// Whether its columns become those of the parent.
    pub(crate) spread: bool,
    pub(crate) inner: bool,
    pub(crate) node: Node<'a>,
}

/// How a child belongs to its parent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link<'a> {
    key: &'a ForeignKey,
    /// The table that holds the key.
    owner: &'a Table,
    /// Whether the parent holds the key.
    forward: bool,
    target: &'a Table,
}

impl<'a> Link<'a> {
    /// Whether a parent has at most one such child.
    pub(crate) fn is_to_one(&self) -> bool {
        self.forward || self.owner.is_unique_on(self.key.columns)
    }

    /// Pairs of parent column and child column that must be equal.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (key, forward) = (self.key, self.forward);
        key.columns
            .iter()
            .zip(key.target_columns)
            .map(move |(own, target)| if forward { (*own, *target) } else { (*target, *own) })
    }

    fn other(&self) -> &'a Table {
        if self.forward { self.target } else { self.owner }
    }

    fn is_called(&self, name: &str) -> bool {
        self.other().name == name || self.key.name == name || (self.forward && self.key.columns == [name])
    }

    fn is_hinted_by(&self, hint: &str) -> bool {
        self.key.name == hint || self.key.columns == [hint] || self.key.target_columns == [hint]
    }

    /// The `details` entry of an ambiguous embed.
    fn describe(&self, parent: &Table) -> Json {
        let cardinality = match (self.forward, self.owner.is_unique_on(self.key.columns)) {
            (_, true) => "one-to-one",
            (true, false) => "many-to-one",
            (false, false) => "one-to-many",
        };
        let columns = |own: bool| {
            let pick = |(parent, child): (&str, &str)| if own { parent.to_owned() } else { child.to_owned() };
            self.pairs().map(pick).collect::<Vec<_>>().join(", ")
        };
        let relationship = format!(
            "{} using {}({}) and {}({})",
            self.key.name,
            parent.name,
            columns(true),
            self.other().name,
            columns(false)
        );
        let field = |name: &str, value: String| (name.to_owned(), Json::Text(value));
        Json::Object(vec![
            field("cardinality", cardinality.to_owned()),
            field("embedding", format!("{} with {}", parent.name, self.other().name)),
            field("relationship", relationship),
        ])
    }
}

impl<'a> Node<'a> {
    /// The plan of `query` on `table`, at most `max_rows` rows anywhere.
    pub(crate) fn plan(tables: &'a [Table], table: &'a Table, query: &Query, max_rows: Option<i64>) -> Outcome<Self> {
        let every = [Item::Every];
        let items = query.select.as_deref().unwrap_or(&every);
        let mut counter = 0;
        let mut root = Self::build(tables, table, items, &mut counter)?;
        for (path, tree) in &query.conditions {
            root.at(path)?.conditions.push(tree.clone());
        }
        for (path, terms) in &query.orders {
            root.at(path)?.order.clone_from(terms);
        }
        for (path, limit) in &query.limits {
            root.at(path)?.limit = Some(*limit);
        }
        for (path, offset) in &query.offsets {
            root.at(path)?.offset = Some(*offset);
        }
        root.cap(max_rows)?;
        Ok(root)
    }

    fn build(tables: &'a [Table], table: &'a Table, items: &[Item], counter: &mut usize) -> Outcome<Self> {
        let row = format!("t{counter}");
        *counter += 1;
        let mut node = Self {
            table,
            row,
            outputs: Vec::new(),
            conditions: Vec::new(),
            order: Vec::new(),
            limit: None,
            offset: None,
            embeds: Vec::new(),
        };
        for item in items {
            match item {
                Item::Embed(embed) => {
                    let link = relationship(tables, table, embed)?;
                    let child = Self::build(tables, link.other(), &embed.items, counter)?;
                    // An empty embed joins without showing anything.
                    if !embed.items.is_empty() {
                        node.outputs.push(Output::Embed(node.embeds.len()));
                    }
                    node.embeds.push(Embedded {
                        name: embed.alias.clone().unwrap_or_else(|| embed.relation.clone()),
                        relation: embed.relation.clone(),
                        link,
                        spread: embed.spread,
                        inner: embed.inner,
                        node: child,
                    });
                }
                Item::Aggregate => {
                    return Err(ApiError::new(
                        StatusCode::BAD_REQUEST,
                        "PGRST123",
                        "Use of aggregate functions is not allowed",
                    ));
                }
                other => node.outputs.push(Output::Item(other.clone())),
            }
        }
        Ok(node)
    }

    /// Whether the node shows nothing but `count`, which stands for the number of its rows.
    pub(crate) fn counts_rows(&self) -> bool {
        let [Output::Item(Item::Column { field, alias: None, cast: None })] = self.outputs.as_slice() else {
            return false;
        };
        field.name == "count" && field.path.is_empty() && self.table.column("count").is_none()
    }

    /// The embed that parameters call `name`.
    pub(crate) fn embed(&self, name: &str) -> Option<&Embedded<'a>> {
        self.embeds
            .iter()
            .find(|embed| embed.name == name)
            .or_else(|| self.embeds.iter().find(|embed| embed.relation == name))
    }

    fn at(&mut self, path: &Path) -> Outcome<&mut Self> {
        let mut node = self;
        for name in path {
            let position = node
                .embeds
                .iter()
                .position(|embed| embed.name == *name)
                .or_else(|| node.embeds.iter().position(|embed| embed.relation == *name));
            node = match position.and_then(|position| node.embeds.get_mut(position)) {
                Some(embed) => &mut embed.node,
                None => return Err(ApiError::not_embedded(name)),
            };
        }
        Ok(node)
    }

    fn cap(&mut self, max_rows: Option<i64>) -> Outcome<()> {
        if self.limit.is_some_and(|limit| limit < 0) {
            return Err(ApiError::bad_range("Limit should be greater than or equal to zero."));
        }
        self.limit = match (self.limit, max_rows) {
            (Some(limit), Some(most)) => Some(limit.min(most)),
            (limit, most) => limit.or(most),
        };
        self.offset = self.offset.filter(|offset| *offset > 0);
        for embed in &mut self.embeds {
            embed.node.cap(max_rows)?;
        }
        Ok(())
    }
}

fn relationship<'a>(tables: &'a [Table], parent: &'a Table, embed: &Embed) -> Outcome<Link<'a>> {
    let forward = parent.foreign_keys.iter().filter_map(|key| {
        schema::find(tables, key.target).map(|target| Link { key, owner: parent, forward: true, target })
    });
    let backward = tables.iter().flat_map(|owner| {
        let keys = owner.foreign_keys.iter().filter(|key| key.target == parent.name);
        keys.map(move |key| Link { key, owner, forward: false, target: parent })
    });
    let candidates: Vec<Link<'a>> = forward
        .chain(backward)
        .filter(|link| link.is_called(&embed.relation))
        .filter(|link| embed.hint.as_deref().is_none_or(|hint| link.is_hinted_by(hint)))
        .collect();
    match candidates.as_slice() {
        [only] => Ok(*only),
        [] => {
            let (from, to) = (parent.name, &embed.relation);
            let hint = embed.hint.as_ref().map_or_else(String::new, |hint| format!(" using the hint '{hint}'"));
            let message = format!("Could not find a relationship between '{from}' and '{to}' in the schema cache");
            Err(ApiError::new(StatusCode::BAD_REQUEST, "PGRST200", message).details(format!(
                "Searched for a foreign key relationship between '{from}' and '{to}'{hint} in the schema 'public', but no matches were found."
            )))
        }
        several => {
            let (from, to) = (parent.name, &embed.relation);
            let message =
                format!("Could not embed because more than one relationship was found for '{from}' and '{to}'");
            let choices: Vec<String> = several.iter().map(|link| format!("'{to}!{}'", link.key.name)).collect();
            let mut error = ApiError::new(StatusCode::MULTIPLE_CHOICES, "PGRST201", message).hint(format!(
                "Try changing '{to}' to one of the following: {}. Find the desired relationship in the 'details' key.",
                choices.join(", ")
            ));
            error.details = Json::List(several.iter().map(|link| link.describe(parent)).collect());
            Err(error)
        }
    }
}
