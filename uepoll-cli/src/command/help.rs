//! `uepoll help [TOPIC]`: the definition of a figure, a verdict or an error of
//! the interface, or the help of a verb. The definitions are uepoll-core's.

use anyhow::Context;
use uepoll_core::figures::FIGURES;
use uepoll_core::help;

use crate::exit::{self, Usage};
use crate::output;

/// Names that are offered for one that is not known.
const OFFERED: usize = 3;

/// Options of `uepoll help`
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// A figure, an error or a verb: residency, ESTALE, profile
    topic: Option<String>,
}

/// Prints it. `command` is the whole command line's definition.
///
/// # Errors
/// [`Usage`] if nothing has this name; then the nearest are named.
pub fn run(args: Args, mut command: clap::Command) -> anyhow::Result<u8> {
    let text = match &args.topic {
        None => format!("{}\n{}", command.render_help(), topics()),
        Some(topic) => text_of(topic, &mut command)?,
    };
    output::print("help", &text)?;
    Ok(exit::FINE)
}

/// A verb's own help, else a definition.
fn text_of(topic: &str, command: &mut clap::Command) -> anyhow::Result<String> {
    // So that a verb's usage line begins with our own name.
    command.build();
    if command.find_subcommand(topic).is_some_and(|verb| !verb.is_hide_set()) {
        let verb = command.find_subcommand_mut(topic).context("it was there a moment ago")?;
        return Ok(verb.render_long_help().to_string());
    }
    if let Some(text) = help::topic(topic) {
        return Ok(text);
    }
    let verbs = command.get_subcommands().map(|verb| verb.get_name().to_owned());
    // A figure's bare name is nearer to what people type than its key, which
    // ends with a unit.
    let names = FIGURES.iter().map(|figure| figure.name.to_owned());
    let known: Vec<String> = names.chain(help::topics()).chain(verbs).collect();
    Err(Usage(unknown(topic, &known)).into())
}

/// The sentence for a topic that nobody knows.
fn unknown(topic: &str, known: &[String]) -> String {
    let near = nearest(topic, known);
    if near.is_empty() {
        return format!("there is no help on `{topic}`: `uepoll help` lists what there is");
    }
    let near: Vec<String> = near.iter().map(|name| format!("`uepoll help {name}`")).collect();
    format!("there is no help on `{topic}`; did you mean {}?", near.join(" or "))
}

/// The names that somebody may have meant, the likeliest first.
fn nearest<'a>(topic: &str, known: &'a [String]) -> Vec<&'a str> {
    let topic = topic.to_lowercase();
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            // A part of a name, if it is long enough to mean something, is as
            // good as one slip.
            let distance = if topic.len() >= 3 && lower.contains(&topic) {
                1
            } else {
                strsim::damerau_levenshtein(&topic, &lower)
            };
            (distance <= 1 + topic.chars().count() / 4).then_some((distance, name.as_str()))
        })
        .collect();
    // Stable: names as near as each other stay in their order.
    near.sort_by_key(|(distance, _)| *distance);
    let mut names: Vec<&str> = Vec::new();
    for (_, name) in near {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.truncate(OFFERED);
    names
}

/// The list of topics, as columns of at most 80.
fn topics() -> String {
    let mut text = String::from("Topics (`uepoll help TOPIC`):\n");
    let mut line = String::from(" ");
    for topic in help::topics() {
        if line.len() + 1 + topic.len() > 80 {
            text.push_str(&line);
            text.push('\n');
            line = String::from(" ");
        }
        line.push(' ');
        line.push_str(&topic);
    }
    text.push_str(&line);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["residency", "ESTALE", "ENOSPC", "publish_latency", "profile"].map(str::to_owned).into()
    }

    #[test]
    fn a_slip_of_the_keyboard_is_understood() {
        let known = known();
        assert_eq!(nearest("residancy", &known), ["residency"]);
        assert_eq!(nearest("estale", &known), ["ESTALE"]);
        assert_eq!(nearest("latency", &known), ["publish_latency"]);
        assert_eq!(nearest("porfile", &known), ["profile"]);
        let twice = [known.clone(), known.clone()].concat();
        assert_eq!(nearest("residancy", &twice), ["residency"]);
        assert!(nearest("weather", &known).is_empty());
        assert!(nearest("", &known).is_empty());
    }

    #[test]
    fn an_unknown_topic_says_what_to_do_next() {
        assert!(unknown("ENOSP", &known()).ends_with("did you mean `uepoll help ENOSPC`?"));
        assert!(unknown("weather", &known()).contains("`uepoll help` lists"));
    }

    #[test]
    fn topics_fit_into_80_columns() {
        assert!(topics().lines().all(|line| line.len() <= 80));
    }
}
