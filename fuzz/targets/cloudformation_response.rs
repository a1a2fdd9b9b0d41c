//! What CloudFormation answers: any status, any bytes, whole or torn, through the real SDK into our calls.
//!
//! An input is a letter for the operation, then answers (see `wavegate_fuzz::canned`). No success comes from an answer that is
//! none; a call with an effect says "nothing happened" only with the provider's proof, and is not sent again without it; what
//! was read survives the journal.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use wavegate::cloud::{Priority, Stacks as _};
use wavegate::model::event::{Event, Prepared};
use wavegate::model::ids::StackName;
use wavegate::model::observation::{OperationTrace, ProviderError, ProviderErrorKind};
use wavegate::model::preview::DescribedChangeSet;
use wavegate::model::stack::{ChangeSetInputs, ChangeSetKind, RestorePoint, StackRecord, StackView, Template};
use wavegate_fuzz::canned::{self, Answer, World, XML};
use wavegate_fuzz::records::assert_survives;
use wavegate_fuzz::text::{assert_no_secret, assert_shows_all};

const P: Priority = Priority::Normal;
const TOKEN: &str = "wg-r1-t1-1-e1";
const ARN: &str = "arn:aws:cloudformation:eu-west-1:111111111111:changeSet/wg/1";

thread_local! {
    static WORLD: World = World::new(XML);
}

/// What kind of call was made: what follows from its answers depends on it.
#[derive(Clone, Copy, PartialEq)]
enum Nature {
    /// Reads; absence is an error.
    Read,
    /// Reads; absence is an answer.
    Look,
    /// May be repeated; absence is a success.
    Fence,
    /// Sent at most once without proof.
    Once,
}

fuzz_target!(|input: &[u8]| {
    let Some((operation, rest)) = input.split_first() else { return };
    WORLD.with(|world| play(world, *operation, canned::answers(rest)));
});

fn play(world: &World, operation: u8, answers: VecDeque<Answer>) {
    let (scope, stack, token) = (&world.scope, &StackName::from("orders"), &TOKEN.into());
    let not_before = Timestamp::UNIX_EPOCH;
    macro_rules! call {
        ($nature:ident, $aws:ident => $call:expr, $check:expr) => {{
            let (said, given) = world.play(answers, async |$aws| $call.await);
            judge(Nature::$nature, said, &given, $check);
        }};
    }
    match operation {
        b'a' => call!(Look, aws => aws.describe(scope, std::slice::from_ref(stack), P), |views, _| check_views(&views)),
        b'b' => {
            let names = ["orders", "billing", "search", "queue"].map(StackName::from);
            call!(Read, aws => aws.describe(scope, &names, P), |views, _| check_views(&views));
        }
        b'c' => call!(Look, aws => aws.describe_by_id(scope, "arn:stack", P), |view, _| {
            view.iter().for_each(check_view);
        }),
        b'd' => call!(Read, aws => aws.template(scope, stack, P), |template, _| check_template(&template)),
        b'e' => {
            call!(Read, aws => aws.change_set_template(scope, stack, ARN, P), |template, _| check_template(&template));
        }
        b'f' => call!(Read, aws => aws.policy(scope, stack, P), |policy, _| assert_ne!(policy.as_deref(), Some(""))),
        b'g' => call!(Read, aws => aws.resources(scope, stack, P), |resources, _| {
            let changes = resources;
            assert_survives(&prepared(changes, "arn:stack"));
        }),
        b'h' => call!(Once, aws => aws.create_change_set(scope, stack, "wg", &inputs(), P), |_, _| {}),
        b'i' => call!(Read, aws => aws.describe_change_set(scope, stack, "wg", P), |seen, _| check_change_set(&seen)),
        b'j' => call!(Fence, aws => aws.delete_change_set(scope, stack, "wg"), |(), _| {}),
        b'k' => call!(Once, aws => aws.execute_change_set(scope, stack, ARN, token, P), |(), _| {}),
        b'l' => call!(Once, aws => aws.delete_stack(scope, "arn:stack", token, P), |(), _| {}),
        b'm' => call!(Once, aws => aws.cancel_update(scope, stack, token), |(), _| {}),
        b'n' => call!(Once, aws => aws.continue_rollback(scope, stack, token), |(), _| {}),
        b'o' => call!(Look, aws => aws.find_operation(scope, "orders", token, not_before, P), check_trace),
        _ => {}
    }
}

/// The contract of `cloud::Stacks`, seen from the wire.
fn judge<T>(nature: Nature, said: Result<T, ProviderError>, given: &[Answer], check: impl FnOnce(T, &[Answer])) {
    assert!(given.len() <= 64, "{} requests for one call", given.len());
    let Some((last, earlier)) = given.split_last() else { panic!("nothing was sent") };
    match said {
        Ok(value) => {
            let absent = matches!(nature, Nature::Look | Nature::Fence) && last.whole() && last.status < 500;
            assert!(last.is_success() || absent, "a success from {last:?}");
            check(value, given);
        }
        Err(error) => {
            assert_shows_all("an error", &format!("{} {}", error.code, error.message));
            assert!(!error.message.contains('\n'), "an error of several lines: {error:?}");
            assert_no_secret("an error", &format!("{} {}", error.code, error.message));
            let ambiguous = error.kind == ProviderErrorKind::Ambiguous;
            match nature {
                Nature::Read | Nature::Look => assert!(!ambiguous, "a read has no effect to be unsure of: {error:?}"),
                // INVARIANT: S9. "Nothing happened" may be said only when every answer proves it.
                Nature::Once | Nature::Fence => assert!(
                    ambiguous || given.iter().all(Answer::proves_refusal),
                    "{error:?} promises that nothing happened, after {given:?}"
                ),
            }
        }
    }
    if nature == Nature::Once {
        // INVARIANT: S8, S9. Sent again only after a refusal for its rate.
        let repeated = earlier.iter().find(|answer| !(answer.proves_refusal() && answer.says_throttled()));
        assert!(repeated.is_none(), "sent again after {repeated:?}");
    }
}

fn check_views(views: &BTreeMap<StackName, StackView>) {
    for (name, view) in views {
        assert_eq!(*name, view.name);
        check_view(view);
    }
}

/// A stack that was read can be written down as a restore point, and is the same when it is read back.
fn check_view(view: &StackView) {
    assert!(!view.stack_id.is_empty());
    assert!(!(view.status.is_in_progress() && view.status.is_settled_complete()));
    let record = StackRecord { view: view.clone(), template: Template::new("Resources: {}"), policy: None };
    let content = record.content_digest().expect("a record without big integers");
    let restore_point = Arc::new(RestorePoint::Stack(Box::new(record)));
    let digest = restore_point.digest().expect("a restore point has a digest");
    let event =
        Event::RestorePointCaptured { rollout: "r".into(), target: "t".into(), restore_point, digest: digest.clone() };
    let back = serde_json::from_str(&assert_survives(&event)).expect("read before");
    let Event::RestorePointCaptured { restore_point, .. } = back else { panic!("another event") };
    assert_eq!(restore_point.digest().as_ref(), Ok(&digest));
    let RestorePoint::Stack(record) = &*restore_point else { panic!("another restore point") };
    assert_eq!(record.content_digest(), Ok(content));
}

fn check_template(template: &Template) {
    assert!(!template.body().is_empty());
    let back: Template = serde_json::to_string(template).and_then(|text| serde_json::from_str(&text)).expect("text");
    assert_eq!((back.digest(), back.body()), (template.digest(), template.body()));
}

/// INVARIANT: S5. The same answer is the same approval, and what it says of resources is not lost on the way.
fn check_change_set(seen: &DescribedChangeSet) {
    assert!(!seen.arn.is_empty() && !seen.stack_id.is_empty());
    let template = Template::new("Resources: {}");
    let digest = |create| seen.approval_digest(template.digest(), None, create).expect("words have a digest");
    assert_eq!(digest(false), digest(false));
    let counts = seen.preview.counts();
    let counted = counts.added + counts.modified + counts.replaced + counts.removed;
    assert_eq!(usize::try_from(counted), Ok(seen.preview.changes.len()), "a change is not counted");
    assert!(seen.preview.changes.is_sorted_by_key(|change| &change.logical_id), "in no order");
    assert_survives(&prepared(seen.preview.changes.clone(), &seen.stack_id));
}

fn prepared(changes: Vec<wavegate::model::preview::ResourceChange>, stack_id: &str) -> Event {
    let preview = wavegate::model::preview::Preview { changes };
    Event::TargetPrepared {
        rollout: "r".into(),
        target: "t".into(),
        prepared: Prepared::Deletion { stack_id: stack_id.to_owned() },
        digest: wavegate::model::ids::Digest::of_bytes(b""),
        counts: preview.counts(),
        changes: preview.changes,
        classified: None,
        context: None,
    }
}

/// INVARIANT: S9. An operation is found by its token alone.
fn check_trace(trace: OperationTrace, given: &[Answer]) {
    assert_eq!(trace.token.as_str(), TOKEN);
    let named = given.iter().any(|answer| answer.is_success() && answer.says(b"e1"));
    assert!(!trace.found || named, "found without its token: {trace:?}");
    let empty = trace.last_event.is_none() && trace.failures.is_empty() && trace.stack_status.is_none();
    assert!(trace.found || empty, "not found, and yet something is told: {trace:?}");
}

fn inputs() -> ChangeSetInputs {
    ChangeSetInputs {
        kind: ChangeSetKind::Update,
        template: None,
        parameters: BTreeMap::new(),
        tags: None,
        capabilities: ["CAPABILITY_IAM".to_owned()].into(),
        role_arn: None,
        notification_arns: None,
        rollback_configuration: None,
    }
}
