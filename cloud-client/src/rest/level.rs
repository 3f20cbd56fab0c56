//! What a read and each embed inside it have alike: columns, filters, order, limits.
//!
//! [`Level`] → query parameters, each with the path of its embed before its name; embeds follow their parents.
use super::{Filter, Item, Order, item::push_list, name::push_path, push_pair_with};

#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    pub(super) items: Vec<Item>,
    pub(super) filters: Vec<Filter>,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
}

impl Level {
    pub(super) fn new<I: Into<Item>>(columns: impl IntoIterator<Item = I>) -> Self {
        Self { items: columns.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Adds `select=` with its list.
    pub(super) fn push_select(&self, query: &mut String) {
        push_pair_with(query, |name| name.push_str("select"), |list| push_list(list, &self.items, false));
    }

    /// Adds everything but the select list, for the level whose embed is at `path`.
    pub(super) fn push_parameters(&self, query: &mut String, path: &mut Vec<String>) {
        for filter in &self.filters {
            filter.push_parameter(query, path);
        }
        let mut push = |name: &str, value: &dyn Fn(&mut String)| {
            let named = |out: &mut String| {
                push_path(out, path.iter());
                out.push_str(name);
            };
            push_pair_with(query, named, value);
        };
        if !self.order.is_empty() {
            push("order", &|out| {
                for (n, order) in self.order.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    order.push(out);
                }
            });
        }
        if let Some(limit) = self.limit {
            push("limit", &|out| out.push_str(&limit.to_string()));
        }
        if self.offset > 0 {
            push("offset", &|out| out.push_str(&self.offset.to_string()));
        }
        for embed in self.items.iter().filter_map(Item::embed) {
            path.push(embed.key().to_owned());
            embed.level.push_parameters(query, path);
            path.pop();
        }
    }

    /// Why this cannot be sent, if so.
    pub(super) fn fault(&self, path: &mut Vec<String>) -> Option<&'static str> {
        let filters = || self.filters.iter().find_map(|filter| filter.fault(path));
        let own = self.items.iter().find_map(Item::fault);
        let own = own.or_else(filters).or_else(|| self.order.iter().find_map(Order::fault));
        own.or_else(|| {
            self.items.iter().filter_map(Item::embed).find_map(|embed| {
                path.push(embed.key().to_owned());
                let fault = embed.fault().or_else(|| embed.level.fault(path));
                path.pop();
                fault
            })
        })
    }
}

/// The methods that every builder with a field `level: Level` has.
macro_rules! level_methods {
    () => {
        $crate::rest::filter::filter_methods!(level.filters);

        /// Reads one more column, or what is made of one.
        pub fn column(mut self, column: impl Into<$crate::rest::Item>) -> Self {
            self.level.items.push(column.into());
            self
        }

        /// Reads a related table along.
        pub fn embed(mut self, embed: $crate::rest::Embed) -> Self {
            self.level.items.push(embed.into());
            self
        }

        /// Sorts, after what earlier calls sort by. Without any order the server's is undefined.
        pub fn order(mut self, order: impl Into<$crate::rest::Order>) -> Self {
            self.level.order.push(order.into());
            self
        }

        /// Reads at most this many rows. Default: as many as the server gives, usually 1000.
        pub fn limit(mut self, rows: usize) -> Self {
            self.level.limit = Some(rows);
            self
        }

        /// Skips this many rows. For going through a table use [`Select::pages`](crate::rest::Select::pages), which
        /// neither skips nor repeats.
        pub fn offset(mut self, rows: usize) -> Self {
            self.level.offset = rows;
            self
        }
    };
}
pub(super) use level_methods;
