//! What is generated from the figure table for the documentation: the page of
//! figures and the JSON schema of the report.

use serde_json::{Map, Value as Json, json};

use crate::capture::Attached;
use crate::figures::{FIGURES, Kind, Unit};
use crate::quantile::Percentile;
use crate::render::json::{SCHEMA, attached};
use crate::report::LOSS_KINDS;

/// `docs/figures.md`.
pub fn figures_page() -> String {
    let mut out = String::from(
        "# Figures\n\n\
         Generated from the figure table (`uepoll-cli/core/src/figures/table.rs`) by\n\
         `UEPOLL_BLESS=1 cargo test -p uepoll-core`: do not edit. `uepoll help FIGURE`\n\
         prints the same. Keys are those of the JSON report; a figure that is not\n\
         known there is `null`, with its reason under `absent`.\n\n\
         | figure | in the text | unit | what it is | where from | how exact | what to do |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for figure in FIGURES {
        let cells = [
            format!("`{}`", figure.key()),
            figure.head.into(),
            figure.unit.words().into(),
            figure.definition.into(),
            figure.source.into(),
            figure.exactness.words().into(),
            figure.next.into(),
        ]
        .map(|cell| cell.replace('|', "\\|"));
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out.push_str(
        "\n## Loss\n\n\
         Under `loss.kinds`, for all rings together; `null` where the kernel does not\n\
         tell. While one that matters for a count is not 0, the count is a lower bound\n\
         and stands in `at_least`.\n\n\
         | kind | what was missed |\n|---|---|\n",
    );
    for (key, what) in LOSS_KINDS {
        out.push_str(&format!("| `{key}` | {what} |\n"));
    }
    out.push_str(
        "\n## Cost\n\n\
         Under `cost`.\n\n\
         | key | what it is |\n|---|---|\n\
         | `own_cpu_share` | CPU time of uepoll's own process, as a share of one CPU |\n\
         | `program_bodies_cpu_share` | time in the program bodies while BPF statistics were on, as \
         a share of one CPU; entering a program is not in it |\n\
         | `statistics_on_ns` | for how long they were on |\n\
         | `records_per_s` | records that came from the probes, each second |\n\
         | `programs` | of each program its hits and the mean time of its body |\n",
    );
    out
}

/// `docs/report.schema.json`: JSON Schema, draft 2020-12.
pub fn report_schema() -> Json {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "uepoll report",
        "description": "Printed by `uepoll profile --json`. Additive within a major version: \
            readers ignore keys they do not know. Absent is null with a reason, never 0; bounds \
            are {lo, hi}; times are in nanoseconds, relative to the start of the interval.",
        "type": "object",
        "required": [
            "schema", "duration_ns", "host", "probe_kind", "sampler", "notes", "rings", "plan",
            "books", "loss", "cost", "trustworthy",
        ],
        "properties": {
            "schema": { "const": SCHEMA },
            "interval": or_null(count("number of the interval, where the run has several")),
            "duration_ns": count("length of the interval"),
            "host": object(&[
                ("release", text("uname -r")),
                ("cpus", count("online CPUs")),
                ("protocol", json!({ "enum": ["v2", "v4"] })),
                ("emulated", flag("the CPU is emulated: times are good for ratios only")),
            ]),
            "probe_kind": { "enum": ["kprobe", "fentry", "mixed", null] },
            "sampler": object(&[
                ("asked_hz", count("snapshots a second and CPU")),
                ("ticks_expected", count("ticks that should have run")),
                ("ticks_seen", count("ticks that ran")),
            ]),
            "notes": list(text("what the command has to say of the run")),
            "rings": list(reference("ring")),
            "head_watch": or_null(object(&[
                ("ring", or_null(count("number of the ring"))),
                ("reads", count("reads of head")),
                ("watched_ns", count("length of the watch")),
                ("longest_gap_ns", count("longest time between two reads")),
                ("ended", or_null(text("why it ended before the interval did"))),
            ])),
            "plan": list(object(&[
                ("point", text("what is observed")),
                ("symbol", text("kernel symbol or tracepoint")),
                ("attached", json!({ "enum": Attached::ALL.map(attached) })),
                ("why_not_better", or_null(text("why not the better way"))),
                ("lost", or_null(text("what is lost by that"))),
            ])),
            "books": object(&[
                ("balance", json!({
                    "type": ["boolean", "null"],
                    "description": "no equation is off; null if none could be checked",
                })),
                ("balanced", count("equations that hold")),
                ("unbalanced", count("equations that do not")),
                ("not_checked", count("equations that could not be checked")),
            ]),
            "loss": object(&[
                ("total", count("everything missed")),
                ("records_of_other_intervals", count("told in their own interval: not lost")),
                ("kinds", object(&LOSS_KINDS.map(|(key, what)| (key, or_null(count(what)))))),
            ]),
            "cost": object(&[
                ("own_cpu_share", or_null(number("CPU time of uepoll itself"))),
                ("program_bodies_cpu_share", or_null(number("program bodies"))),
                ("statistics_on_ns", count("for how long that was measured")),
                ("records_per_s", or_null(number("records that came, each second"))),
                ("programs", list(object(&[
                    ("name", text("name of the program")),
                    ("hits", count("hits")),
                    ("ns_per_hit", or_null(number("mean time of its body"))),
                ]))),
            ]),
            "trustworthy": flag("nothing lost, books balanced, no ring corrupt"),
        },
        "$defs": {
            "ring": ring(),
            "figures": figures(),
            "bounds": object(&[
                ("lo", count("no less than this")),
                ("hi", or_null(count("no more than this; null: not bounded"))),
            ]),
            "percentiles": object(&Percentile::ALL
                .map(|percentile| (percentile.key(), or_null(reference("bounds"))))),
            "histogram": object(&[
                ("count", count("values")),
                ("sum", count("their sum")),
                ("max", count("the largest")),
                ("mean", or_null(number("their mean"))),
                ("percentiles", reference("percentiles")),
                ("percentiles_withheld", or_null(text("why some are null"))),
            ]),
            "interval_histogram": object(&[
                ("samples", count("sampled positions")),
                ("effective_samples", count("equally weighted samples that would tell as much")),
                ("unconsumed", count("samples still in the ring at the end")),
                ("level", number("confidence of each percentile's bounds")),
                ("max", reference("bounds")),
                ("mean", reference("bounds")),
                ("percentiles", reference("percentiles")),
                ("percentiles_withheld", or_null(text("why some are null"))),
                ("histogram", list(object(&[
                    ("from_ns", count("from here, inclusive")),
                    ("to_ns", count("to here, exclusive")),
                    ("lower_ends_share", number("samples whose lower end lies here")),
                    ("upper_ends_share", number("samples whose upper end lies here")),
                ]))),
            ]),
            "equation": object(&[
                ("name", text("which")),
                ("left", list(reference("term"))),
                ("right", list(reference("term"))),
                ("balance", json!({ "type": ["boolean", "null"] })),
                ("not_checked", or_null(text("why it was not checked"))),
            ]),
            "term": object(&[("name", text("what was counted")), ("value", count("how many"))]),
        },
    })
}

fn ring() -> Json {
    object(&[
        ("ring", count("number of the ring in this run")),
        (
            "owner",
            or_null(object(&[
                ("pid", count("process, in the initial pid namespace")),
                ("comm", text("its name")),
                ("fd", or_null(count("the ring's descriptor in it"))),
            ])),
        ),
        (
            "holders",
            list(object(&[
                ("pid", count("process")),
                ("fd", json!({ "type": "integer", "description": "its descriptor" })),
                ("comm", text("its name")),
            ])),
        ),
        (
            "consumers",
            list(object(&[
                ("tid", count("thread")),
                ("comm", text("its name")),
                ("named", flag("named by the user; else it was seen to wait")),
            ])),
        ),
        ("max_items", count("items it can hold")),
        ("items_used", or_null(count("items in use at the end"))),
        ("left_in_ring", or_null(count("positions between head and tail at the end"))),
        ("closed", flag("closed during the interval")),
        ("created", flag("created during the interval")),
        ("corrupt", or_null(text("why its header cannot be believed"))),
        ("head_back", count("snapshots that saw head go back")),
        ("contradictory_records", count("records that contradicted themselves or each other")),
        ("late_snapshots", count("snapshots too late for their order to be checked")),
        ("sample_shift", count("one position in 2^sample_shift was sampled at the end")),
        (
            "in_ring_before",
            or_null(object(&[
                ("positions", count("in the ring when it was first looked at")),
                ("left", count("of these, still there when last looked at")),
                ("age_at_least_ns", count("the last of them is at least so old")),
            ])),
        ),
        ("narrower", or_null(text("what would narrow the bounds of residency"))),
        ("figures", reference("figures")),
        (
            "absent",
            json!({
                "type": "object",
                "description": "for each figure that is null the reason",
                "additionalProperties": { "type": "string" },
            }),
        ),
        ("at_least", list(text("figures that are lower bounds; of a histogram count, sum, max"))),
        ("at_most", list(text("figures that are upper bounds"))),
        ("inferred", list(text("figures that are estimates"))),
        ("books", list(reference("equation"))),
        (
            "depth_over_time",
            object(&[
                ("step_ns", count("width of a step")),
                (
                    "points",
                    list(object(&[
                        (
                            "time_ns",
                            json!({ "type": "integer", "description": "start of the step" }),
                        ),
                        ("least", count("least depth seen in it")),
                        ("greatest", count("greatest depth seen in it")),
                    ])),
                ),
            ]),
        ),
    ])
}

/// One key for each row of the table.
fn figures() -> Json {
    let mut properties = Map::new();
    for figure in FIGURES {
        let mut schema = match figure.kind {
            Kind::Counter => json!({ "type": ["integer", "null"], "minimum": 0 }),
            Kind::Gauge => json!({ "type": ["number", "null"], "minimum": 0 }),
            Kind::Histogram => or_null(reference("histogram")),
            Kind::IntervalHistogram => or_null(reference("interval_histogram")),
        };
        schema["description"] = json!(figure.definition);
        if figure.unit != Unit::Count {
            schema["unit"] = json!(figure.unit.words());
        }
        properties.insert(figure.key(), schema);
    }
    let required: Vec<&String> = properties.keys().collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

/// An object all of whose keys are always there.
fn object(properties: &[(&str, Json)]) -> Json {
    let required: Vec<&str> = properties.iter().map(|(key, _)| *key).collect();
    let properties: Map<String, Json> =
        properties.iter().map(|(key, schema)| ((*key).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn list(items: Json) -> Json {
    json!({ "type": "array", "items": items })
}

fn or_null(schema: Json) -> Json {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn reference(name: &str) -> Json {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn count(description: &str) -> Json {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

fn number(description: &str) -> Json {
    json!({ "type": "number", "minimum": 0, "description": description })
}

fn text(description: &str) -> Json {
    json!({ "type": "string", "description": description })
}

fn flag(description: &str) -> Json {
    json!({ "type": "boolean", "description": description })
}
