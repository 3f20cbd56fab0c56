//! The tables an application sees, as data.
//!
//! A [`Table`] says what PostgreSQL would know of it: column types, defaults, keys, checks and row policies.
//! `ddl` turns it into SQLite tables and triggers, and the table API reads it to parse, check and print
//! values; neither knows a table by name. A name that reaches SQL text always comes from here.
//! Wire source: the PostgreSQL system catalogue, as far as PostgREST shows it.

mod ddl;
mod tables;

use crate::core::policy::Security;

pub(crate) use ddl::create;
#[cfg(test)]
pub(crate) use ddl::create_all;
pub(crate) use tables::TABLES;

/// A PostgreSQL type that a column can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PgType {
    Uuid,
    Text,
    Bool,
    Int4,
    Int8,
    Timestamptz,
    Jsonb,
}

impl PgType {
    /// The name PostgreSQL uses in its messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Text => "text",
            Self::Bool => "boolean",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Timestamptz => "timestamp with time zone",
            Self::Jsonb => "jsonb",
        }
    }

    /// The name in PostgreSQL's catalogue, which casts and live changes use.
    pub(crate) const fn short_name(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Text => "text",
            Self::Bool => "bool",
            Self::Int4 => "int4",
            Self::Int8 => "int8",
            Self::Timestamptz => "timestamptz",
            Self::Jsonb => "jsonb",
        }
    }
}

/// What a column holds when an insert does not name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    Null,
    Text(&'static str),
    Int(i64),
    Bool(bool),
    Json(&'static str),
    NewUuid,
    Now,
}

/// Values that only the database sets; what a client sends for them is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerSet {
    /// The time of the insert.
    InsertTime,
    /// The time of the last write; differs after every update.
    WriteTime,
    /// The next number of the parent's counter, in insert order.
    Sequence { parent: &'static str, key: &'static str, counter: &'static str },
    /// The counter that a [`ServerSet::Sequence`] of a child advances.
    Counter,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) ty: PgType,
    pub(crate) nullable: bool,
    pub(crate) fallback: Fallback,
    pub(crate) server_set: Option<ServerSet>,
    /// The only values a check constraint allows; empty without a check.
    pub(crate) allowed: &'static [&'static str],
}

impl Column {
    /// A nullable column without a default.
    pub(crate) const fn new(name: &'static str, ty: PgType) -> Self {
        Self { name, ty, nullable: true, fallback: Fallback::Null, server_set: None, allowed: &[] }
    }

    pub(crate) const fn required(mut self) -> Self {
        self.nullable = false;
        self
    }

    /// A column that is never null because it has a default.
    pub(crate) const fn or(mut self, fallback: Fallback) -> Self {
        self.nullable = false;
        self.fallback = fallback;
        self
    }

    const fn by_server(mut self, rule: ServerSet) -> Self {
        self.server_set = Some(rule);
        self
    }

    const fn one_of(mut self, allowed: &'static [&'static str]) -> Self {
        self.allowed = allowed;
        self
    }
}

/// What happens to a row when the row it points to goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDelete {
    Cascade,
    SetNull,
    Restrict,
}

/// A reference from `columns` of the owning table to `target_columns` of `target`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForeignKey {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
    pub(crate) target: &'static str,
    pub(crate) target_columns: &'static [&'static str],
    pub(crate) on_delete: OnDelete,
}

/// One table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    pub(crate) primary_key: &'static [&'static str],
    /// Unique constraints besides the primary key.
    pub(crate) unique: &'static [&'static [&'static str]],
    pub(crate) foreign_keys: &'static [ForeignKey],
    pub(crate) security: Security,
}

impl Table {
    pub(crate) fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The primary key (if any), then the unique constraints, in the order PostgreSQL checks them.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static [&'static str]> {
        Some(self.primary_key).into_iter().filter(|key| !key.is_empty()).chain(self.unique.iter().copied())
    }

    /// The constraint name PostgreSQL gives a key.
    pub(crate) fn key_name(&self, key: &[&str]) -> String {
        if key == self.primary_key {
            format!("{}_pkey", self.name)
        } else {
            format!("{}_{}_key", self.name, key.join("_"))
        }
    }

    /// Whether at most one row can have given values in `columns`.
    pub(crate) fn is_unique_on(&self, columns: &[&str]) -> bool {
        self.keys().any(|key| key.len() == columns.len() && key.iter().all(|part| columns.contains(part)))
    }
}

/// The table called `name` among `tables`.
pub(crate) fn find<'a>(tables: &'a [Table], name: &str) -> Option<&'a Table> {
    tables.iter().find(|table| table.name == name)
}

#[cfg(test)]
mod tests;
