//! The stages against a table of what is legal: every state that can be reached, every move.

use std::collections::{BTreeSet, VecDeque};

use poolshift::Class;
use poolshift::router::stage::{By, Move, Refused, Stage, Stages};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// Written from the words of the issue, not from the code.
const LEGAL: [(Stage, Move, Stage); 13] = [
    (Stage::Off, Move::Shadow, Stage::Shadow),
    (Stage::Off, Move::Ramp, Stage::Ramp),
    (Stage::Shadow, Move::Stop, Stage::Off),
    (Stage::Shadow, Move::Ramp, Stage::Ramp),
    (Stage::Shadow, Move::RollBack, Stage::RolledBack),
    (Stage::Ramp, Move::Hold, Stage::Hold),
    (Stage::Ramp, Move::Complete, Stage::Complete),
    (Stage::Ramp, Move::RollBack, Stage::RolledBack),
    (Stage::Hold, Move::Resume, Stage::Ramp),
    (Stage::Hold, Move::RollBack, Stage::RolledBack),
    (Stage::Complete, Move::RollBack, Stage::RolledBack),
    (Stage::RolledBack, Move::RollBack, Stage::RolledBack),
    (Stage::RolledBack, Move::Clear, Stage::Off),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Make(usize, usize, bool),
    Kill,
    Unkill(bool),
}

impl Step {
    fn all() -> Vec<Self> {
        let moves = (0..Move::ALL.len()).flat_map(|asked| {
            (0..3).flat_map(move |class| [true, false].map(|human| Self::Make(asked, class, human)))
        });
        moves.chain([Self::Kill, Self::Unkill(true), Self::Unkill(false)]).collect()
    }
}

fn by(human: bool) -> By {
    if human { By::Human } else { By::Ramp }
}

/// Stages of read, write and critical, and the kill switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Model {
    stages: [Stage; 3],
    killed: bool,
}

impl Model {
    /// What a step leads to, or the kind of its refusal.
    fn after(self, step: Step) -> Result<Self, &'static str> {
        let (asked, class, human) = match step {
            Step::Kill => return Ok(Self { killed: true, ..self }),
            Step::Unkill(_) if !self.killed => return Err("not killed"),
            Step::Unkill(false) => return Err("human"),
            Step::Unkill(true) => {
                let held = |stage| if stage == Stage::Ramp { Stage::Hold } else { stage };
                return Ok(Self { stages: self.stages.map(held), killed: false });
            }
            Step::Make(asked, class, human) => (Move::ALL[asked], class, human),
        };
        if self.killed && asked != Move::RollBack {
            return Err("killed");
        }
        let from = self.stages[class];
        let row = LEGAL.iter().find(|(stage, legal, _)| (*stage, *legal) == (from, asked));
        let (_, _, to) = row.ok_or("illegal")?;
        let reads = class == 0;
        match (from, asked) {
            (Stage::Off, Move::Shadow) if !reads => return Err("illegal"),
            (Stage::Off, Move::Ramp) if reads => return Err("illegal"),
            (_, Move::Resume | Move::Clear) if !human => return Err("human"),
            _ => {}
        }
        let moving = [Stage::Ramp, Stage::Complete];
        let needed: &[Stage] = match asked {
            Move::Complete => &moving[1..],
            Move::Ramp | Move::Resume => &moving,
            _ => &[],
        };
        if !needed.is_empty() && self.stages[..class].iter().any(|stage| !needed.contains(stage)) {
            return Err("ahead");
        }
        let mut next = self;
        next.stages[class] = *to;
        if asked == Move::RollBack {
            for stage in &mut next.stages[class + 1..] {
                if [Stage::Ramp, Stage::Hold, Stage::Complete].contains(stage) {
                    *stage = Stage::RolledBack;
                }
            }
        }
        Ok(next)
    }
}

fn kind(refused: &Refused) -> &'static str {
    match refused {
        Refused::Killed { .. } => "killed",
        Refused::NotFromHere { .. } => "illegal",
        Refused::HumanOnly { .. } | Refused::KillIsHuman => "human",
        Refused::Ahead { .. } => "ahead",
        Refused::NotKilled => "not killed",
    }
}

/// Takes a step in both, and compares all that can be seen.
fn check(model: Model, stages: &mut Stages, step: Step) -> Model {
    let before = *stages;
    let result = match step {
        Step::Make(asked, class, human) => {
            stages.make(Move::ALL[asked], Class::ALL[class], by(human))
        }
        Step::Kill => {
            stages.kill();
            Ok(())
        }
        Step::Unkill(human) => stages.unkill(by(human)),
    };
    let expected = model.after(step);
    let seen = result.as_ref().copied().map_err(kind);
    assert_eq!(seen, expected.map(|_| ()), "{step:?} from {model:?}");
    if let Err(refused) = result {
        assert_eq!(*stages, before, "a refusal changes nothing");
        assert!(refused.to_string().len() > 20, "{refused}");
    }
    let next = expected.unwrap_or(model);
    assert_eq!(Class::ALL.map(|class| stages.beneath(class)), next.stages);
    let shown = if next.killed { [Stage::Killed; 3] } else { next.stages };
    assert_eq!(Class::ALL.map(|class| stages.of(class)), shown, "killed beats everything");
    for class in 1..3 {
        let ahead = next.stages[class].may_use_v3() && !next.stages[class - 1].may_use_v3();
        assert!(!ahead, "{next:?}: a class is ahead of a safer one");
    }
    next
}

/// Each state that can be reached, with each step from it.
#[test]
fn r12_every_step_from_every_state_is_as_the_table_says() {
    let start = (Model { stages: [Stage::Off; 3], killed: false }, Stages::default());
    let key = |model: Model| format!("{model:?}");
    let mut seen = BTreeSet::from([key(start.0)]);
    let mut queue = VecDeque::from([start]);
    let (mut steps, mut legal) = (0, 0);
    while let Some((model, stages)) = queue.pop_front() {
        for step in Step::all() {
            let mut after = stages;
            let next = check(model, &mut after, step);
            steps += 1;
            legal += usize::from(model.after(step).is_ok());
            if seen.insert(key(next)) {
                queue.push_back((next, after));
            }
        }
    }
    // 2 for the kill switch; below it, what no class ahead of a safer one leaves of 6 x 5 x 5.
    assert!(seen.len() > 100 && legal > 500, "{} states, {legal} of {steps}", seen.len());
}

#[derive(Debug)]
struct Table;

impl ReferenceStateMachine for Table {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model { stages: [Stage::Off; 3], killed: false }).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        let all = Step::all();
        let legal: Vec<Step> =
            all.iter().copied().filter(|step| model.after(*step).is_ok()).collect();
        // Legal ones more often, or no walk would get far.
        prop_oneof![3 => prop::sample::select(legal), 1 => prop::sample::select(all)].boxed()
    }

    fn apply(model: Model, step: &Step) -> Model {
        model.after(*step).unwrap_or(model)
    }
}

struct Machine {
    model: Model,
    stages: Stages,
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Self;
    type Reference = Table;

    fn init_test(model: &Model) -> Self {
        Self { model: *model, stages: Stages::default() }
    }

    fn apply(mut state: Self, model: &Model, step: Step) -> Self {
        let latched = state.model.stages.map(|stage| stage == Stage::RolledBack);
        state.model = check(state.model, &mut state.stages, step);
        assert_eq!(state.model, *model);
        for (class, latched) in latched.into_iter().enumerate() {
            let cleared = step == Step::Make(Move::Clear as usize, class, true);
            let still = state.stages.beneath(Class::ALL[class]) == Stage::RolledBack;
            assert!(!latched || still || cleared, "only a human unlatches");
        }
        let stored = serde_json::to_string(&state.stages).unwrap();
        assert_eq!(serde_json::from_str::<Stages>(&stored).unwrap(), state.stages);
        state
    }
}

prop_state_machine! {
    #[test]
    fn r13_walks_through_the_stages(sequential 1..60 => Machine);
}

#[test]
fn a_refusal_says_what_can_be_done() {
    let mut stages = Stages::default();
    let text = |refused: Result<(), Refused>| refused.unwrap_err().to_string();
    let complete = text(stages.make(Move::Complete, Class::Read, By::Human));
    assert_eq!(complete, "read is off and cannot complete; from there it can shadow");
    let ahead = text(stages.make(Move::Ramp, Class::Write, By::Ramp));
    assert!(ahead.contains("write cannot ramp while read is off"), "{ahead}");
    stages.make(Move::Shadow, Class::Read, By::Human).unwrap();
    stages.make(Move::RollBack, Class::Read, By::Ramp).unwrap();
    let latched = text(stages.make(Move::Clear, Class::Read, By::Ramp));
    assert!(latched.contains("only a human may clear it"), "{latched}");
    stages.kill();
    let killed = text(stages.make(Move::Clear, Class::Read, By::Human));
    assert!(killed.contains("poolshift rollout unkill"), "{killed}");
}
