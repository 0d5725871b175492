//! Evidence of several processes, as the one that steers hears it.

use std::fs;
use std::process::{Child, Command};

use poolshift::router::guard::Evidence;
use poolshift::router::guard::Metric;
use poolshift::shim::testimony::{Heard, Testimonies};

use crate::ramp_live::{PLAN, Service, ended};

/// A process that lives until the end of the test.
struct Alive(Child);

impl Alive {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn id(&self) -> (u32, u64) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1;
        (self.0.id(), fields.split_whitespace().nth(19).unwrap().parse().unwrap())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn service() -> Service {
    let service = Service::new();
    service.begin(PLAN);
    service
}

fn hear(service: &Service, step: u64) -> Heard {
    Testimonies::of(&service.paths(), &service.mark()).hear(step)
}

fn ln_e(evidence: &Evidence) -> f64 {
    let errors = evidence.comparisons().find(|(metric, _)| *metric == Metric::Errors);
    errors.unwrap().1.pooled().ln_e()
}

#[test]
fn what_two_processes_saw_is_added_up_and_one_that_has_ended_counts_on() {
    let (service, alive) = (service(), Alive::new());
    let (pid, ticks) = alive.id();
    assert_eq!(hear(&service, 1), Heard::default(), "nobody has told anything");
    let each = service.seen(1, 50, 5);
    service.plant(pid, ticks, each.clone());
    service.plant(ended(), 7, each.clone());
    let heard = hear(&service, 1);
    let sum = heard.evidence.unwrap();
    assert_eq!((heard.live, heard.doubts), (vec![pid], vec![]));
    assert_eq!((sum.routed.units.candidate, sum.routed.step.candidate), (100, 100));
    // Neither alone is proof, and both together say more than one of them twice over.
    assert!(ln_e(&each) > 1.0 && ln_e(&sum) > 2.0 * ln_e(&each), "{} {}", ln_e(&each), ln_e(&sum));
}

#[test]
fn an_earlier_step_proves_nothing_and_a_live_process_that_lags_holds_the_ramp() {
    let (service, alive) = (service(), Alive::new());
    let (pid, ticks) = alive.id();
    service.plant(pid, ticks, service.seen(2, 10, 0));
    service.plant(ended(), 7, service.seen(1, 50, 5));
    let sum = hear(&service, 2).evidence.unwrap();
    assert_eq!((sum.step(), sum.routed.step.candidate), (2, 10));
    assert_eq!(sum.routed.units.candidate, 60, "harm counts, whenever it was");
    // Two live processes, one of which has not heard of the step.
    let lagging = Alive::new();
    let (pid, ticks) = lagging.id();
    service.plant(pid, ticks, service.seen(1, 10, 0));
    assert_eq!(hear(&service, 2).evidence.unwrap().step(), 1);
}

#[test]
fn a_process_with_other_commands_and_a_file_of_no_use_are_doubts() {
    let (service, mut other) = (service(), Service::new());
    service.plant(ended(), 7, service.seen(1, 10, 0));
    std::sync::Arc::make_mut(&mut other.config.commands)
        .set("another", poolshift::session::commands::Command::of(poolshift::Class::Read));
    other.begin(PLAN);
    service.plant(ended(), 8, other.seen(1, 10, 0));
    let heard = hear(&service, 1);
    assert_eq!(heard.doubts.len(), 1, "{heard:?}");
    assert!(heard.doubts[0].contains("their plans differ"), "{heard:?}");
    let mark = service.mark();
    fs::write(service.paths().evidence(&mark.plan, &mark.build).join("1-1-1.json"), "{").unwrap();
    let doubts = hear(&service, 1).doubts;
    assert!(doubts.iter().any(|doubt| doubt.contains("cannot read")), "{doubts:?}");
}
