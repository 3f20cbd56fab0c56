//! The machine against a server of thirty lines that obeys TUS and fails as it likes.
use proptest::prelude::*;

use super::*;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// Never arrives.
    Before,
    /// Arrives; its answer does not.
    After,
    /// Only this many bytes arrive, then the connection is cut.
    Part(u8),
    /// The server drops the upload first.
    Forget,
    /// The server loses its last bytes first.
    Rewind(u8),
    /// The one who acts is stopped; the request may have arrived.
    Stop(bool),
    /// The process ends and another goes on from what was stored.
    Restart,
    /// Something senseless is answered.
    Nonsense(u64),
}

/// Uploads and objects of one key.
struct Server {
    upload: Option<Vec<u8>>,
    object: Option<Vec<u8>>,
    total: u64,
    /// Whether a finished upload can still be asked for.
    keeps_finished: bool,
    may_replace: bool,
    /// Whether it takes bytes with the creation.
    at_once: bool,
}

impl Server {
    fn finish(&mut self) -> Event {
        let Some(upload) = &self.upload else { return Event::Gone };
        if upload.len() as u64 == self.total {
            if self.object.is_some() && !self.may_replace {
                return Event::Exists;
            }
            self.object = Some(upload.clone());
            if !self.keeps_finished {
                self.upload = None;
            }
        }
        Event::Accepted { offset: self.total }
    }

    fn act(&mut self, action: Action, bytes: &[u8], cut: Option<u8>) -> Event {
        match action {
            Action::Create { len } => {
                let len = cut.map_or(len, |cut| len.min(u64::from(cut)));
                self.upload = Some(bytes.get(..len as usize).unwrap().to_vec());
                if len < self.total {
                    return Event::Created { offset: len };
                }
                match self.finish() {
                    Event::Accepted { offset } => Event::Created { offset },
                    other => other,
                }
            }
            Action::Ask => match &self.upload {
                Some(upload) => Event::At { offset: upload.len() as u64, total: Some(self.total) },
                None => Event::Gone,
            },
            Action::Patch { from, len } => {
                let Some(upload) = &mut self.upload else { return Event::Gone };
                if upload.len() as u64 != from {
                    return Event::Conflict;
                }
                let len = cut.map_or(len, |cut| len.min(u64::from(cut)));
                upload.extend_from_slice(bytes.get(from as usize..(from + len) as usize).unwrap());
                let offset = upload.len() as u64;
                if offset == self.total { self.finish() } else { Event::Accepted { offset } }
            }
            Action::Verify => Event::Verified(self.object.as_deref() == Some(bytes)),
            Action::Pause { .. } => Event::Paused,
            Action::Done | Action::Fail(_) => unreachable!("the course has ended"),
        }
    }
}

/// Runs a course to its end: the end, and the number of steps.
fn run(bytes: &[u8], chunk: u64, server: &mut Server, faults: &[Fault]) -> (Action, usize) {
    let total = bytes.len() as u64;
    let mut machine = Machine::new(total, chunk);
    if server.at_once {
        machine.send_at_once();
    }
    let mut faults = faults.iter().copied();
    for steps in 0..10_000 {
        let action = machine.next();
        if matches!(action, Action::Done | Action::Fail(_)) {
            return (action, steps);
        }
        let fault =
            if matches!(action, Action::Pause { .. }) { Fault::None } else { faults.next().unwrap_or(Fault::None) };
        let event = match fault {
            Fault::None => server.act(action, bytes, None),
            Fault::Before => Event::Unsure,
            Fault::After => {
                server.act(action, bytes, None);
                Event::Unsure
            }
            Fault::Part(cut) => {
                server.act(action, bytes, Some(cut));
                Event::Unsure
            }
            Fault::Forget => {
                server.upload = None;
                server.act(action, bytes, None)
            }
            Fault::Rewind(kept) => {
                if let Some(upload) = &mut server.upload {
                    upload.truncate(usize::from(kept));
                }
                server.act(action, bytes, None)
            }
            Fault::Stop(arrived) => {
                if arrived {
                    server.act(action, bytes, None);
                }
                Event::Interrupted
            }
            Fault::Restart => {
                machine = Machine::resumed(total, chunk, machine.offset());
                if server.at_once {
                    machine.send_at_once();
                }
                continue;
            }
            Fault::Nonsense(offset) => match action {
                Action::Create { .. } => Event::Created { offset: total + 1 + offset % 9 },
                Action::Patch { .. } => Event::Accepted { offset: total + 1 + offset % 9 },
                _ => Event::At { offset: total + 1 + offset % 9, total: None },
            },
        };
        machine.on(event);
    }
    panic!("the course does not end");
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        2 => Just(Fault::Before),
        2 => Just(Fault::After),
        2 => any::<u8>().prop_map(Fault::Part),
        1 => Just(Fault::Forget),
        1 => any::<u8>().prop_map(Fault::Rewind),
        1 => any::<bool>().prop_map(Fault::Stop),
        1 => Just(Fault::Restart),
        1 => any::<u64>().prop_map(Fault::Nonsense),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let offset = 0_u64..40;
    prop_oneof![
        offset.clone().prop_map(|offset| Event::Created { offset }),
        offset.clone().prop_map(|offset| Event::Accepted { offset }),
        (offset, prop::option::of(0_u64..40)).prop_map(|(offset, total)| Event::At { offset, total }),
        any::<bool>().prop_map(Event::Verified),
        prop::sample::select(vec![
            Event::Unsure,
            Event::Interrupted,
            Event::Conflict,
            Event::Gone,
            Event::Exists,
            Event::Paused,
            Event::Refused,
        ]),
    ]
}

fn server(total: usize, keeps_finished: bool, may_replace: bool) -> Server {
    Server { upload: None, object: None, total: total as u64, keeps_finished, may_replace, at_once: false }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn t10_whatever_goes_wrong_the_object_is_whole_or_there_is_an_error(
        bytes in prop::collection::vec(any::<u8>(), 1..120),
        chunk in 1_u64..50,
        faults in prop::collection::vec(fault(), 0..40),
        keeps_finished: bool,
        may_replace: bool,
        at_once: bool,
        other in prop::option::of(prop::collection::vec(any::<u8>(), 0..120)),
    ) {
        let mut server = server(bytes.len(), keeps_finished, may_replace);
        server.object = other.filter(|other| *other != bytes);
        server.at_once = at_once;
        let (end, _) = run(&bytes, chunk, &mut server, &faults);
        match end {
            Action::Done => prop_assert_eq!(server.object.as_deref(), Some(bytes.as_slice())),
            Action::Fail(failure) => prop_assert!(failure != Failure::Exists || server.object.is_some()),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn b04_any_events_in_any_order_keep_the_machine_sound(events in prop::collection::vec(any_event(), 0..200)) {
        let mut machine = Machine::new(30, 7);
        for event in events {
            machine.on(event);
            if let Action::Patch { from, len } = machine.next() {
                prop_assert!(len > 0 && len <= 7 && from + len <= 30);
            }
            prop_assert!(machine.failures <= PATIENCE + 1 && machine.restarts <= RESTARTS + 1);
        }
    }
}

#[test]
fn a_quiet_course_is_one_creation_and_one_send_for_each_chunk() {
    let bytes = vec![7; 13];
    let mut server = server(13, false, false);
    assert_eq!(run(&bytes, 6, &mut server, &[]), (Action::Done, 4));
    assert_eq!(server.object, Some(bytes));
}

/// Storage vector 18.
#[test]
fn content_of_one_chunk_goes_out_with_the_creation_where_the_server_takes_it() {
    let mut quick = server(5, false, false);
    quick.at_once = true;
    assert_eq!(run(&[1; 5], 5, &mut quick, &[]), (Action::Done, 1));
    // Its answer is lost: the next creation finds the key taken, and the object is looked at.
    for (faults, end) in [
        (vec![Fault::After], Action::Done),
        (vec![Fault::Stop(true)], Action::Done),
        (vec![Fault::Part(3)], Action::Done),
        (vec![Fault::Before], Action::Done),
    ] {
        let mut quick = server(5, false, false);
        quick.at_once = true;
        assert_eq!(run(&[1; 5], 5, &mut quick, &faults).0, end, "{faults:?}");
        assert_eq!(quick.object.as_deref(), Some(&[1; 5][..]));
    }
    let mut taken = server(5, false, false);
    (taken.at_once, taken.object) = (true, Some(vec![2; 5]));
    assert_eq!(run(&[1; 5], 5, &mut taken, &[]).0, Action::Fail(Failure::Exists));
    let mut large = server(13, false, false);
    large.at_once = true;
    assert_eq!(run(&[1; 13], 6, &mut large, &[]), (Action::Done, 4), "the place is learned first");
}

#[test]
fn b04_a_server_that_never_answers_is_given_up_after_the_same_number_of_tries() {
    let mut server = server(5, true, false);
    let (end, steps) = run(&[1; 5], 2, &mut server, &[Fault::Before; 50]);
    assert_eq!((end, steps), (Action::Fail(Failure::Exhausted), 2 * PATIENCE as usize + 1));
}

#[test]
fn a_lost_answer_to_the_last_chunk_is_settled_by_looking_at_the_object() {
    let bytes = vec![1; 5];
    let mut finished = server(5, false, false);
    let faults = [Fault::None, Fault::After];
    assert_eq!(run(&bytes, 5, &mut finished, &faults).0, Action::Done);
    // The same, while somebody else holds the key with other bytes.
    for keeps_finished in [true, false] {
        let mut taken = server(5, keeps_finished, false);
        taken.object = Some(vec![2; 5]);
        assert_eq!(run(&bytes, 5, &mut taken, &faults).0, Action::Fail(Failure::Exists));
        assert_eq!(taken.object, Some(vec![2; 5]));
    }
}

#[test]
fn an_upload_that_the_server_keeps_losing_is_begun_anew_twice() {
    let mut server = server(5, true, false);
    let faults = [Fault::None, Fault::Forget, Fault::None, Fault::Forget, Fault::None, Fault::Forget];
    assert_eq!(run(&[1; 5], 2, &mut server, &faults), (Action::Fail(Failure::Lost), 6));
}
