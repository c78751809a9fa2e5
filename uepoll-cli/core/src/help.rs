//! What `uepoll help WORD` prints: every figure of the table by its key, name
//! and head, and the few words that are no figure. Printing is the command's
//! matter, and so is a word that is not known.

use crate::figures::{FIGURES, Figure, Kind};
use crate::render::paragraph;

/// A word that is no figure, and what is said of it.
struct Word {
    /// How it is asked for; the first is its title.
    names: &'static [&'static str],
    /// Paragraphs.
    text: &'static [&'static str],
}

const WORDS: &[Word] = &[
    Word {
        names: &["ENOSPC"],
        text: &[
            "EPOLL_CTL_ADD was refused. The caller cannot tell which of two causes it had: every \
             item of the ring is used, or the user's limit of watches is reached.",
            "How it is measured: the return of epoll_ctl, and by what ep_get_bit returned in that \
             call; without that probe by the ring's count of used items, and then called likely.",
            "What to do: ring full (enospc_ring_full): create the ring with more items, at most \
             65536, or remove items that are done. User watches (enospc_user_watches): raise \
             fs.epoll.max_user_watches.",
        ],
    },
    Word {
        names: &["ESTALE"],
        text: &[
            "epoll_wait returned ESTALE: there are events in the ring. It says so whether the \
             thread slept or not, and is not an error.",
            "The rate counts only waits that had not slept: an event came between the last look \
             at the ring and the sleep, and the system call was for nothing. Waits that slept and \
             were woken are waits_estale_slept.",
            "How it is measured: the result of the wait, and whether the voluntary switches of \
             the thread changed between entry and exit.",
            "What to do: nothing, if it is rare. If much of all waits: look at the ring a little \
             longer before waiting.",
        ],
    },
    Word {
        names: &["books"],
        text: &[
            "Equations between what was counted in different places, checked in every report: \
             arrivals = published + merged (both from callbacks) + filtered + disarmed; in the \
             ring before + published = consumed + left in the ring; keyless wakeups = runs + \
             collapsed; samples due = received + lost + doubtful + found no place.",
            "\"books balance\": all of them hold. \"books OFF\": one does not, and it is printed \
             with its terms; the figures it is made of are not to be trusted, and --strict exits \
             with 4. An equation over an absent probe is not checked, and says why.",
        ],
    },
    Word {
        names: &["loss", "lost"],
        text: &[
            "What was missed, each kind counted: hits that a probe missed, records that found the \
             ring buffer full, samples without a place, maps that were full, positions that could \
             not be told, probes that could not be attached.",
            "A count whose matching loss is not 0 is printed with >=, a ratio of such counts with \
             ~. Samples that were lost widen percentiles, or leave them without an upper end. With \
             --strict any loss exits with 4.",
            "What to do: records or samples lost, or hits missed: watch fewer rings at once (-p, \
             -r); probes absent: `uepoll doctor` says why.",
        ],
    },
    Word {
        names: &["position"],
        text: &[
            "The value of tail, a number of 32 bits that wraps, at which an event was published. \
             It is consumed when head has passed it.",
            "How it is told: tail - 1 at the exit of an add that made a new slot, if tail moved by \
             exactly one; otherwise by the slot that holds the item, else it is counted as \
             ambiguous and not measured. One position in 2^k is sampled, chosen by a salted hash, \
             k by the rate.",
        ],
    },
    Word {
        names: &["bounds", "percentiles"],
        text: &[
            "Head moves without a system call, so no moment of consumption is ever seen: a \
             position lies between the last look that did not show it consumed and the first that \
             did. Printed percentiles are bounds made of these intervals, widened by the binomial \
             interval of the percentile at 95 %. With fewer than 30 samples beyond a percentile \
             it is not told.",
            "Wide bounds mean few looks at head. -F HZ looks more often; -F max -r PID:FD watches \
             the head of one ring from a thread of its own.",
        ],
    },
    Word {
        names: &["marks", ">=", "<=", "~", "-"],
        text: &[
            "What stands before a figure. >=: a lower bound, since some of what it counts was \
             missed. <=: an upper bound. ~: an estimate, inferred because a function is inlined, \
             or a ratio of counts some of which were missed. A figure that is - is not known: \
             --json says why under absent.",
        ],
    },
    Word {
        names: &["cost", "self cost"],
        text: &[
            "What observing takes: the time in the program bodies, as a share of one CPU, while \
             BPF statistics were on (from the start of each interval, for about 200 ms of it; the \
             report says how long: \"bodies, 230 ms\"; entering a program is not in it), the \
             CPU time of uepoll's own process, and with -v the records each second.",
            "What to do if it is too much: watch one process or ring (-p, -r), or fewer snapshots \
             (-F).",
        ],
    },
    Word {
        names: &["ring", "head", "tail", "slot", "item", "PID:FD"],
        text: &[
            "A ring is memory that the kernel and a program share: that of an epoll file made with \
             EPOLL_USERPOLL. Each source that was added to it is an item. When an item becomes \
             ready the kernel publishes it: it writes the item into the slot at tail, and tail \
             moves on. The program consumes: it takes what is in the slot at head, and head moves \
             on, without a system call. head == tail: the ring is empty.",
            "An item that is ready already takes no second slot: the event is merged. PID:FD, as \
             4242:7, names a ring by a process and its descriptor.",
        ],
    },
    Word {
        names: &["spin", "spinning"],
        text: &[
            "Time on the CPU that moves no event. Three figures, none of which is another:",
            "\"slot spin\": the consumer must wait because the kernel has moved tail and not yet \
             written the slot. \"ring empty on CPU\": no more than this can be polling of an empty \
             ring. spin_iterations: how often it was polled, counted by the consumer itself if it \
             carries the probe of docs/spin-probe.md, and shown by -v.",
        ],
    },
    Word {
        names: &["probes", "fentry", "kprobe"],
        text: &[
            "How uepoll sees what the kernel does: small programs at the entry and the return of \
             its functions. By fentry and fexit where a trial shows that they work, else by kprobe \
             and kretprobe, which cost more, and which the kernel skips, and counts, while another \
             runs on the same CPU. --probe-kind asks for one of them; `uepoll doctor` shows each.",
        ],
    },
    Word {
        names: &["exit", "exit code", "exit codes", "exit status"],
        text: &[
            "0: fine, also after Ctrl-C with a report. 1: a finding, as something degraded that \
             doctor found. 2: the command line asks for what cannot be. 3: cannot run here; the \
             message says which right or kernel is missing. 4: with --strict, figures that are not \
             trustworthy.",
            "With -- CMD: that of the command, 128 + n if signal n ended it. A failure of ours, 3 \
             and 4 included, is then 125.",
        ],
    },
];

/// The text for a word, in whatever case: a figure's key, name or head, or one
/// of the words that are no figure. `None` if it is not known.
pub fn topic(name: &str) -> Option<String> {
    let asked = |known: &str| same(known, name);
    let word = WORDS.iter().find(|word| word.names.iter().any(|known| asked(known)));
    let figures: Vec<&Figure> = FIGURES
        .iter()
        .filter(|figure| asked(&figure.key()) || asked(figure.name) || asked(figure.head))
        .collect();
    if word.is_none() && figures.is_empty() {
        return None;
    }
    let mut out = String::new();
    if let Some(word) = word {
        out.push_str(word.names[0]);
        out.push('\n');
        for text in word.text {
            out.push_str(&paragraph("  ", text));
        }
    }
    for figure in figures {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&of_figure(figure));
    }
    Some(out)
}

/// Every word that [`topic`] knows, once, in order: figures by their key.
pub fn topics() -> Vec<String> {
    let words = WORDS.iter().map(|word| word.names[0].to_owned());
    words.chain(FIGURES.iter().map(Figure::key)).collect()
}

/// Without regard to case, and to what joins words.
fn same(known: &str, asked: &str) -> bool {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-'], " ");
    plain(known) == plain(asked.trim())
}

fn of_figure(figure: &Figure) -> String {
    let mut out = format!("{}  ({})\n", figure.key(), figure.head);
    out.push_str(&paragraph("  ", figure.definition));
    let mut line = |head: &str, text: &str| {
        if !text.is_empty() {
            out.push_str(&paragraph(&format!("  {head:<10}"), text));
        }
    };
    line("unit", figure.unit.words());
    line("from", figure.source);
    line("reliable", figure.exactness.words());
    line("to do", figure.next);
    if figure.kind == Kind::IntervalHistogram {
        line("see also", "bounds, position");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::text::WIDTH;

    #[test]
    fn every_figure_is_found_by_key_and_by_head_in_any_case() {
        for figure in FIGURES {
            for name in [figure.key(), figure.key().to_uppercase(), figure.head.to_owned()] {
                let text = topic(&name).expect("known");
                assert!(text.contains(&figure.key()), "{name}: {text}");
            }
        }
    }

    #[test]
    fn words_of_the_report_are_known() {
        for name in [
            "ENOSPC",
            "estale",
            "Residency",
            "books",
            "LOSS",
            "position",
            "in ring",
            "head",
            "tail",
            "slot",
            "spin",
            "kprobe",
            "exit",
        ] {
            assert!(topic(name).is_some(), "{name}");
        }
        assert_eq!(topic("no such word"), None);
        assert!(topics().iter().all(|name| topic(name).is_some()));
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        for name in topics() {
            for line in topic(&name).expect("known").lines() {
                assert!(line.chars().count() <= WIDTH, "{name}: {line}");
            }
        }
    }

    #[test]
    fn estale_is_told_as_what_it_is() {
        let text = topic("ESTALE").expect("known");
        assert!(text.contains("not an error") && text.contains("estale_per_s"), "{text}");
    }
}
