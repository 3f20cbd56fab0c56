//! Ten thousand clients of one server that restarts, on paper time: nobody comes back in a crowd (R6).
use super::{comeback::*, tests::Rig, *};
use crate::pause::LONGEST;
use std::{cmp::Reverse, collections::BinaryHeap};

const CLIENTS: u64 = 10_000;
const BUCKET: Duration = Duration::from_millis(100);

/// The largest share of clients that try to connect within 100 ms when the server is away for `down`, in percent, and
/// when the last of them is back.
fn restart(down: Duration, close: Option<u16>) -> (f64, Duration) {
    let mut rigs: Vec<Rig> = (0..CLIENTS).map(Rig::live).collect();
    let start = rigs[0].at;
    let mut due = BinaryHeap::new();
    for (index, rig) in rigs.iter_mut().enumerate() {
        let generation = rig.machine.generation();
        rig.step(Event::Closed { generation, code: close });
        due.push(Reverse((rig.machine.deadline().unwrap(), index)));
    }
    let (mut buckets, mut last) = (std::collections::HashMap::<u128, u32>::new(), start);
    while let Some(Reverse((at, index))) = due.pop() {
        let rig = &mut rigs[index];
        assert!(matches!(rig.tick()[..], [Effect::Acquire { .. }]));
        *buckets.entry((at - start).as_nanos() / BUCKET.as_nanos()).or_default() += 1;
        if at - start >= down {
            rig.open();
            last = last.max(at);
        } else {
            let generation = rig.machine.generation();
            rig.step(Event::Failed { generation, verdict: Verdict::Retry });
            due.push(Reverse((rig.machine.deadline().unwrap(), index)));
        }
    }
    let most = buckets.into_values().max().unwrap();
    (f64::from(most) * 100.0 / f64::from(u32::try_from(CLIENTS).unwrap()), last - start)
}

#[test]
fn r06_after_a_restart_at_most_three_percent_connect_in_any_tenth_of_a_second() {
    for (down_ms, close) in [
        (0, Some(1012)),
        (500, None),
        (2_000, Some(1012)),
        (3_000, None),
        (5_000, Some(1001)),
        (30_000, None),
        (120_000, None),
    ] {
        let down = Duration::from_millis(down_ms);
        let (share, last) = restart(down, close);
        println!("away for {down_ms} ms: at most {share:.2} % in 100 ms, all back after {:.1} s", last.as_secs_f64());
        assert!(share <= 3.0, "{share} % after {down_ms} ms");
        assert!(last <= down + LONGEST + SPREAD, "{last:?}");
    }
}
