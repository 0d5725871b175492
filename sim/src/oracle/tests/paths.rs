//! The exact laws against a queue that is simulated nanosecond by nanosecond.

use super::super::sample_path::{
    AffineQueues, KieferWolfowitz, Lindley, Little, PathError, Started,
};
use super::draws::Draws;

/// What is planned for a call.
#[derive(Clone, Copy)]
struct Planned {
    arrived_ns: u64,
    service_ns: u64,
    patience_ns: u64,
}

/// Which waiting call a free server takes.
#[derive(Clone, Copy)]
enum Order {
    Oldest,
    Newest,
}

/// What happened, call by call, and the time integrals counted tick by tick.
#[derive(Default)]
struct Run {
    /// `None` if it was turned away or left.
    started_ns: Vec<Option<u64>>,
    waiting_ns: u128,
    busy_ns: u128,
}

/// Lets one nanosecond pass after the other. `room` bounds the waiting calls.
fn tick(calls: &[Planned], servers: usize, room: usize, order: Order) -> Run {
    let mut run = Run { started_ns: vec![None; calls.len()], ..Run::default() };
    let mut busy_until = vec![0; servers];
    let mut waiting: Vec<usize> = Vec::new();
    let mut arriving = 0;
    let mut now = 0;
    while arriving < calls.len() || !waiting.is_empty() || busy_until.iter().any(|end| *end > now) {
        waiting.retain(|call| calls[*call].arrived_ns + calls[*call].patience_ns > now);
        loop {
            while let Some(server) = busy_until.iter_mut().find(|end| **end <= now)
                && !waiting.is_empty()
            {
                let next = match order {
                    Order::Oldest => waiting.remove(0),
                    Order::Newest => waiting.pop().unwrap(),
                };
                run.started_ns[next] = Some(now);
                *server = now + calls[next].service_ns;
            }
            if arriving == calls.len() || calls[arriving].arrived_ns > now {
                break;
            }
            let free = busy_until.iter().any(|end| *end <= now);
            if free || waiting.len() < room {
                waiting.push(arriving);
            }
            arriving += 1;
        }
        run.waiting_ns += waiting.len() as u128;
        run.busy_ns += busy_until.iter().filter(|end| **end > now).count() as u128;
        now += 1;
    }
    run
}

/// Short times, so that arrivals and ends often fall into one nanosecond, and some are 0.
fn plan(draws: &mut Draws, calls: usize, patience_ns: u64) -> Vec<Planned> {
    let mut now = 0;
    let mut next = |_| {
        now += draws.below(4);
        let (service_ns, patience_ns) = (draws.below(12), 1 + draws.below(patience_ns));
        Planned { arrived_ns: now, service_ns, patience_ns }
    };
    (0..calls).map(&mut next).collect()
}

/// The calls that were served, in order of arrival.
fn served(calls: &[Planned], run: &Run) -> Vec<Started> {
    let pairs = calls.iter().zip(&run.started_ns);
    let served = pairs.filter_map(|(call, started_ns)| {
        let Planned { arrived_ns, service_ns, .. } = *call;
        Some(Started { arrived_ns, service_ns, started_ns: (*started_ns)? })
    });
    served.collect()
}

/// Stays given as (from, to, planned length), put into time order.
fn little(stays: impl Iterator<Item = (u64, u64, u64)>) -> Result<Little, PathError> {
    let ends = |(from, to, spent)| [(from, None), (to, Some(spent))];
    let mut events: Vec<(u64, Option<u64>)> = stays.flat_map(ends).collect();
    // `None` sorts first: within an instant calls come before others go.
    events.sort_unstable();
    let mut little = Little::default();
    for (at_ns, spent_ns) in events {
        match spent_ns {
            None => little.enter(at_ns)?,
            Some(spent_ns) => little.leave(at_ns, spent_ns)?,
        }
    }
    Ok(little)
}

const PATIENT: u64 = 1 << 40;

#[test]
fn kiefer_and_wolfowitz_know_every_start() {
    let mut draws = Draws::new(1);
    let (mut waited, mut gone) = (0, 0);
    for servers in 1..=8 {
        for (room, patience_ns) in [(usize::MAX, PATIENT), (3, PATIENT), (usize::MAX, 10), (3, 10)]
        {
            let calls = plan(&mut draws, 400, patience_ns);
            let run = tick(&calls, servers, room, Order::Oldest);
            let served = served(&calls, &run);
            let mut law = KieferWolfowitz::new(servers);
            for call in &served {
                law.check(*call).unwrap();
            }
            waited += served.iter().filter(|call| call.started_ns > call.arrived_ns).count();
            gone += calls.len() - served.len();
        }
    }
    assert!(waited > 1000 && gone > 1000, "{waited} waited, {gone} were turned away or left");
}

#[test]
fn one_nanosecond_late_is_late() {
    let calls = plan(&mut Draws::new(2), 50, PATIENT);
    let served = served(&calls, &tick(&calls, 2, usize::MAX, Order::Oldest));
    for late in 0..served.len() {
        let mut law = KieferWolfowitz::new(2);
        let checked = served.iter().enumerate().map(|(call, started)| {
            let late_ns = u64::from(call == late);
            law.check(Started { started_ns: started.started_ns + late_ns, ..*started })
        });
        let wrong: Vec<_> = checked.filter_map(Result::err).collect();
        let Started { arrived_ns, started_ns: expected_ns, .. } = served[late];
        let started_ns = expected_ns + 1;
        assert_eq!(wrong, [PathError::WrongStart { arrived_ns, started_ns, expected_ns }]);
    }
}

#[test]
fn last_come_first_served_is_caught() {
    let calls = plan(&mut Draws::new(3), 200, PATIENT);
    let served = served(&calls, &tick(&calls, 3, usize::MAX, Order::Newest));
    let mut law = KieferWolfowitz::new(3);
    assert!(served.into_iter().any(|call| law.check(call).is_err()));
}

#[test]
fn a_server_left_idle_is_caught() {
    let calls = plan(&mut Draws::new(4), 200, PATIENT);
    let served = served(&calls, &tick(&calls, 3, usize::MAX, Order::Oldest));
    let mut law = KieferWolfowitz::new(4);
    assert!(served.into_iter().any(|call| law.check(call).is_err()));
}

#[test]
fn lindley_is_the_case_of_one_server() {
    let calls = plan(&mut Draws::new(5), 400, PATIENT);
    let mut law = Lindley::default();
    for call in served(&calls, &tick(&calls, 1, usize::MAX, Order::Oldest)) {
        let wait_ns = law.wait(call.arrived_ns, call.service_ns);
        assert_eq!(wait_ns, Ok(call.started_ns - call.arrived_ns));
    }
}

#[test]
fn affine_queues_share_nothing() {
    const QUEUES: usize = 4;
    let mut draws = Draws::new(6);
    let calls = plan(&mut draws, 400, PATIENT);
    let bound: Vec<usize> = calls.iter().map(|_| draws.below(QUEUES as u64) as usize).collect();
    let mut starts: Vec<(usize, Started)> = Vec::new();
    for queue in 0..QUEUES {
        let own = calls.iter().zip(&bound).filter(|(_, bound)| **bound == queue);
        let own: Vec<Planned> = own.map(|(call, _)| *call).collect();
        let run = tick(&own, 1, usize::MAX, Order::Oldest);
        starts.extend(served(&own, &run).into_iter().map(|call| (queue, call)));
    }
    starts.sort_by_key(|(_, call)| call.arrived_ns);
    let mut law = AffineQueues::new(QUEUES);
    let mut shared = KieferWolfowitz::new(QUEUES);
    let mut apart = 0;
    for (queue, call) in starts {
        law.check(queue, call).unwrap();
        apart += usize::from(shared.check(call).is_err());
    }
    assert!(apart > 50, "a shared queue starts {apart} calls at other times");
    let nowhere = PathError::NoSuchQueue { queue: QUEUES, queues: QUEUES };
    assert_eq!(law.start(QUEUES, 0, 0), Err(nowhere));
}

#[test]
fn little_holds_for_sojourns_waits_and_work() {
    let mut draws = Draws::new(7);
    for servers in 1..=5 {
        let calls = plan(&mut draws, 300, PATIENT);
        let run = tick(&calls, servers, 4, Order::Newest);
        let served = served(&calls, &run);
        let end = |call: &Started| call.started_ns + call.service_ns;
        let work = served.iter().map(|call| (call.started_ns, end(call), call.service_ns));
        let waits = served
            .iter()
            .map(|call| (call.arrived_ns, call.started_ns, call.started_ns - call.arrived_ns));
        let sojourns =
            served.iter().map(|call| (call.arrived_ns, end(call), end(call) - call.arrived_ns));
        assert_eq!(little(work).unwrap().balance(), Ok(run.busy_ns));
        assert_eq!(little(waits).unwrap().balance(), Ok(run.waiting_ns));
        assert_eq!(little(sojourns).unwrap().balance(), Ok(run.waiting_ns + run.busy_ns));
    }
}

#[test]
fn work_done_twice_or_cut_short_is_unbalanced() {
    let cut_short = little([(0, 10, 10), (4, 9, 6)].into_iter()).unwrap();
    let unbalanced = PathError::Unbalanced { integral_ns: 15, spent_ns: 16 };
    assert_eq!(cut_short.balance(), Err(unbalanced));

    let mut lost = Little::default();
    lost.enter(3).unwrap();
    assert_eq!(lost.balance(), Err(PathError::NotEmpty { inside: 1 }));
    lost.leave(5, 2).unwrap();
    assert_eq!(lost.balance(), Ok(2));
    assert_eq!(lost.leave(6, 1), Err(PathError::LeftEmpty { at_ns: 6 }));
}

#[test]
fn a_trace_that_goes_backwards_or_beyond_the_clock_is_refused() {
    let backwards = PathError::OutOfOrder { at_ns: 4, last_ns: 5 };
    let mut inside = Little::default();
    inside.enter(5).unwrap();
    assert_eq!(inside.enter(4), Err(backwards));
    let mut single = Lindley::default();
    single.wait(5, 1).unwrap();
    assert_eq!(single.wait(4, 1), Err(backwards));
    let mut shared = KieferWolfowitz::new(1);
    shared.start(5, 1).unwrap();
    assert_eq!(shared.start(4, 1), Err(backwards));
    assert_eq!(shared.start(5, u64::MAX), Err(PathError::BeyondClock));
    assert_eq!(single.wait(5, u64::MAX), Err(PathError::BeyondClock));
}
