//! `PromQL`, as far as one must look into it.

use std::time::Duration;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{Expr, VectorSelector, parse};

/// Stands for `$__rate_interval`: nobody would write it.
const RATE_INTERVAL: Duration = Duration::from_secs(7919);

/// Grafana's variables that stand outside of quotes, with values of their kind. Longer names first.
pub(crate) const BUILT_IN: [(&str, &str); 3] =
    [("$__rate_interval", "7919s"), ("$__range_s", "21600"), ("$__range", "21600s")];

/// A selector, and what is done with it.
pub(crate) struct Selector {
    /// The metrics that it names.
    pub(crate) names: Vec<String>,
    pub(crate) matchers: Vec<Matcher>,
    range: Option<Duration>,
    /// The function whose argument it is, if it is of any.
    function: Option<&'static str>,
}

impl Selector {
    /// Whether it is `rate(metric[…])` or the like of it.
    pub(crate) fn is_of_rate(&self) -> bool {
        self.range.is_some()
            && self.function.is_some_and(|name| ["rate", "irate", "increase"].contains(&name))
    }

    /// Whether a rate is taken over a time that does not follow the resolution of the graph.
    pub(crate) fn has_fixed_rate(&self) -> bool {
        let is_rate = self.function.is_some_and(|name| ["rate", "irate"].contains(&name));
        is_rate && self.range.is_some_and(|range| range != RATE_INTERVAL)
    }

    /// Whether it has this matcher.
    pub(crate) fn matches(&self, name: &str, value: &str) -> bool {
        let is_it = |it: &Matcher| it.name == name && it.value == value && matches!(it.op, MatchOp::Re(_));
        self.matchers.iter().any(is_it)
    }
}

/// Reads an expression in which Grafana's variables are.
pub(crate) fn read(text: &str) -> Result<Expr, String> {
    let replaced = BUILT_IN.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    // An unquoted $ is a variable that is unknown here. Grafana would leave it.
    parse(&replaced)
}

/// The selectors of an expression.
pub(crate) fn selectors(expression: &Expr) -> Vec<Selector> {
    let mut found = Vec::new();
    collect(expression, None, &mut found);
    found
}

/// Labels by which the expression groups and joins.
pub(crate) fn grouping(text: &str) -> Vec<String> {
    let mut labels = Vec::new();
    for keyword in [" by (", " on (", " without (", " ignoring (", "group_left (", "group_right ("] {
        for (at, _) in text.match_indices(keyword) {
            let rest = &text[at + keyword.len()..];
            let group = &rest[..rest.find(')').unwrap_or(rest.len())];
            labels.extend(group.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned));
        }
    }
    labels
}

fn collect(expression: &Expr, function: Option<&'static str>, found: &mut Vec<Selector>) {
    match expression {
        Expr::Aggregate(it) => {
            collect(&it.expr, None, found);
            it.param.iter().for_each(|param| collect(param, None, found));
        }
        Expr::Unary(it) => collect(&it.expr, None, found),
        Expr::Binary(it) => {
            collect(&it.lhs, None, found);
            collect(&it.rhs, None, found);
        }
        Expr::Paren(it) => collect(&it.expr, function, found),
        Expr::Subquery(it) => collect(&it.expr, None, found),
        Expr::Call(it) => it.args.args.iter().for_each(|arg| collect(arg, Some(it.func.name), found)),
        Expr::VectorSelector(it) => found.push(selector(it, None, function)),
        Expr::MatrixSelector(it) => found.push(selector(&it.vs, Some(it.range), function)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn selector(it: &VectorSelector, range: Option<Duration>, function: Option<&'static str>) -> Selector {
    let by_label = it.matchers.matchers.iter().filter(|matcher| matcher.name == "__name__");
    let by_label = by_label.flat_map(|matcher| matcher.value.split('|').map(str::to_owned));
    let matchers = it.matchers.matchers.iter().filter(|matcher| matcher.name != "__name__");
    Selector {
        names: it.name.iter().cloned().chain(by_label).collect(),
        matchers: matchers.cloned().collect(),
        range,
        function,
    }
}
