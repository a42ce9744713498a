//! Arguments of `cairn forget`.

use super::select::FilterArgs;
use cairn::engine::forget::{Count, GroupBy, Policy, Span};
use clap::Args;

/// Forget snapshots: those that are named, or those that no rule keeps
///
/// The rules look at each group of snapshots by itself; a snapshot stays if one rule keeps it. Days and weeks (from Monday) are
/// those of UTC. A forgotten snapshot is not listed any more. Its space is freed by pruning, which this version does not have
/// yet.
#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// Snapshots to forget, whatever the rules
    #[arg(value_name = "SNAPSHOT", conflicts_with = "keep")]
    pub(crate) snapshots: Vec<String>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// What makes a group: any of host, paths and tags, separated by commas; nothing for one group of all
    #[arg(long, value_name = "LIST", default_value = "host,paths", value_parser = parse_group_by)]
    pub(crate) group_by: GroupBy,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Only say what would be forgotten
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Let a group lose all of its snapshots; needs --host, --tag or --path
    #[arg(long)]
    pub(crate) unsafe_allow_remove_all: bool,
    /// Why this is done, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) purpose: String,
}

/// What to keep.
#[derive(Debug, Args)]
#[group(id = "keep", multiple = true)]
pub(crate) struct KeepArgs {
    /// Keep the newest N (a number, or unlimited)
    #[arg(short = 'l', long, value_name = "N", value_parser = parse_count)]
    pub(crate) keep_last: Option<Count>,
    /// Keep the newest of each of the newest N hours that have one
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) keep_hourly: Option<Count>,
    /// Keep the newest of each of the newest N days that have one
    #[arg(short = 'd', long, value_name = "N", value_parser = parse_count)]
    pub(crate) keep_daily: Option<Count>,
    /// Keep the newest of each of the newest N weeks that have one
    #[arg(short = 'w', long, value_name = "N", value_parser = parse_count)]
    pub(crate) keep_weekly: Option<Count>,
    /// Keep the newest of each of the newest N months that have one
    #[arg(short = 'm', long, value_name = "N", value_parser = parse_count)]
    pub(crate) keep_monthly: Option<Count>,
    /// Keep the newest of each of the newest N years that have one
    #[arg(short = 'y', long, value_name = "N", value_parser = parse_count)]
    pub(crate) keep_yearly: Option<Count>,
    /// Keep everything younger than this, such as 1y5m7d2h, counted from the group's newest
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) keep_within: Option<Span>,
    /// Keep the newest of each hour within this
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) keep_within_hourly: Option<Span>,
    /// Keep the newest of each day within this
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) keep_within_daily: Option<Span>,
    /// Keep the newest of each week within this
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) keep_within_weekly: Option<Span>,
    /// Keep the newest of each month within this
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) keep_within_monthly: Option<Span>,
    /// Keep the newest of each year within this
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) keep_within_yearly: Option<Span>,
    /// Keep what has all of these tags, separated by commas; may be repeated
    #[arg(long, value_name = "TAGS", value_parser = parse_tags)]
    pub(crate) keep_tag: Vec<TagList>,
}

/// Tags that belong together.
#[derive(Debug, Clone)]
pub(crate) struct TagList(pub(crate) Vec<Vec<u8>>);

impl KeepArgs {
    /// The policy that they make.
    pub(crate) fn policy(&self) -> Policy {
        let count = |given: Option<Count>| given.unwrap_or(Count::Number(0));
        let periods =
            [self.keep_hourly, self.keep_daily, self.keep_weekly, self.keep_monthly, self.keep_yearly].map(count);
        let periods_within = [
            self.keep_within_hourly,
            self.keep_within_daily,
            self.keep_within_weekly,
            self.keep_within_monthly,
            self.keep_within_yearly,
        ];
        let tags = self.keep_tag.iter().map(|list| list.0.clone()).collect();
        Policy { last: count(self.keep_last), periods, within: self.keep_within, periods_within, tags }
    }
}

fn parse_count(text: &str) -> Result<Count, String> {
    match text {
        "unlimited" => Ok(Count::Unlimited),
        _ => text.parse().map(Count::Number).map_err(|_| format!("{text:?} is not a number, nor unlimited")),
    }
}

fn parse_span(text: &str) -> Result<Span, String> {
    Span::parse(text).map_err(|error| error.to_string())
}

fn parse_tags(text: &str) -> Result<TagList, String> {
    let tags: Vec<Vec<u8>> = text.split(',').map(|tag| tag.as_bytes().to_vec()).collect();
    if tags.iter().any(Vec::is_empty) { Err(format!("{text:?} has an empty tag")) } else { Ok(TagList(tags)) }
}

fn parse_group_by(text: &str) -> Result<GroupBy, String> {
    let mut by = GroupBy { host: false, paths: false, tags: false };
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match word {
            "host" | "hosts" => by.host = true,
            "path" | "paths" => by.paths = true,
            "tag" | "tags" => by.tags = true,
            _ => return Err(format!("{word:?} is not host, paths or tags")),
        }
    }
    Ok(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!(parse_count("unlimited"), Ok(Count::Unlimited));
        assert_eq!(parse_count("7"), Ok(Count::Number(7)));
        assert!(["", "-1", "many", "4294967296"].iter().all(|text| parse_count(text).is_err()));
        assert_eq!(parse_group_by(""), Ok(GroupBy { host: false, paths: false, tags: false }));
        assert_eq!(parse_group_by("host,paths"), Ok(GroupBy::default()));
        assert_eq!(parse_group_by("tags"), Ok(GroupBy { host: false, paths: false, tags: true }));
        assert!(parse_group_by("name").is_err());
        assert!(parse_tags("a,b").is_ok_and(|list| list.0.len() == 2) && parse_tags("a,").is_err());
    }
}
