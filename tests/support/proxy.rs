//! A proxy between the product and the emulator: it records every call, and can cut, delay or hold chosen ones.
//!
//! Each call travels on a connection of its own to the provider, so that a cut towards the product never disturbs what
//! the provider does. The answer is read to its end before anything is cut: "cut after" means that the provider did it.

use super::call::{Call, Calls, Fate};
use super::{http, text};
use std::collections::BTreeMap;
use std::io::BufReader;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

/// What is done to a call that matches.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Cut the connection; the provider never sees the call.
    CutBefore,
    /// Let the provider do it, then cut the connection in place of the answer: a lost answer.
    CutAfter,
    /// Wait before the call goes on to the provider.
    DelayBefore(Duration),
    /// Let the provider do it, and hand its answer over later.
    DelayAfter(Duration),
    /// Keep the call from the provider until the gate opens.
    HoldBefore(Gate),
    /// Let the provider do it, and keep the answer until the gate opens.
    HoldAfter(Gate),
}

/// Which calls a fault is for: the first `times` that match.
#[derive(Clone, Debug)]
pub struct Match {
    action: String,
    stack: Option<String>,
    account: Option<String>,
    region: Option<String>,
    skip: usize,
    times: usize,
}

impl Match {
    /// Every call of this action, once.
    pub fn action(action: &str) -> Self {
        Self { action: action.to_owned(), stack: None, account: None, region: None, skip: 0, times: 1 }
    }
    pub fn stack(mut self, stack: &str) -> Self {
        self.stack = Some(stack.to_owned());
        self
    }
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }
    pub fn region(mut self, region: &str) -> Self {
        self.region = Some(region.to_owned());
        self
    }
    /// Lets the first `skip` matching calls pass.
    pub fn skip(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    fn fits(&self, call: &Call) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        self.action == call.action
            && same(&self.stack, call.stack.as_deref().unwrap_or(""))
            && same(&self.account, &call.account)
            && same(&self.region, &call.region)
    }
}

/// Holds calls back until it is opened.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
    fn wait(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

/// On which side of the provider an action on the n-th call happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The call has been recorded and has not gone on to the provider.
    Before,
    /// The provider has done it; the caller has no answer yet.
    After,
}

type Action = Box<dyn FnOnce(&Call) + Send>;

#[derive(Default)]
struct Book {
    calls: Calls,
    faults: Vec<(Match, Effect)>,
    triggers: Vec<(usize, When, Action)>,
    /// Change sets' ARNs and the stacks they were created for.
    change_sets: BTreeMap<String, String>,
    /// Access keys that `AssumeRole` gave out, and their accounts.
    sessions: BTreeMap<String, String>,
}

struct Shared {
    book: Mutex<Book>,
    news: Condvar,
    upstream: Mutex<SocketAddr>,
    closed: AtomicBool,
}

/// The running proxy; it ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            book: Mutex::default(),
            news: Condvar::new(),
            upstream: Mutex::new(upstream),
            closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.closed.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where calls go from now on.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        *self.shared.upstream.lock().unwrap() = upstream;
    }

    /// Everything recorded so far.
    pub fn calls(&self) -> Calls {
        self.shared.book().calls.clone()
    }

    /// The number of the newest call: `calls().after(mark)` are those that came later.
    pub fn mark(&self) -> usize {
        self.shared.book().calls.len()
    }

    /// Forgets the calls, faults and triggers; what is known of sessions and change sets stays.
    pub fn clear(&self) {
        let mut book = self.shared.book();
        book.calls.0.clear();
        book.faults.clear();
        book.triggers.clear();
    }

    /// Does `effect` to the calls that match. Of several faults that match, the oldest acts.
    pub fn fault(&self, on: Match, effect: Effect) {
        self.shared.book().faults.push((on, effect));
    }

    /// Holds calls that match before they reach the provider, until the gate is opened.
    pub fn hold(&self, on: Match) -> Gate {
        let gate = Gate::new();
        self.fault(on, Effect::HoldBefore(gate.clone()));
        gate
    }

    /// Runs `act` at the call of this number (counted from 1, since the start or `clear`), inside the proxy: the call
    /// waits for it. That is how a crash is placed at an exact moment:
    /// `proxy.at_call(17, When::After, move |_| send_signal(pid, "KILL"))`, then `daemon.wait(…)` and `daemon.run()`.
    pub fn at_call(&self, number: usize, when: When, act: impl FnOnce(&Call) + Send + 'static) {
        self.shared.book().triggers.push((number, when, Box::new(act)));
    }

    /// Waits until the recorded calls satisfy `enough`; panics when `limit` is over.
    pub fn wait_until(&self, what: &str, limit: Duration, enough: impl Fn(&Calls) -> bool) -> Calls {
        let start = Instant::now();
        let mut book = self.shared.book();
        loop {
            if enough(&book.calls) {
                return book.calls.clone();
            }
            let left = limit.checked_sub(start.elapsed()).unwrap_or_else(|| panic!("{what}: not within {limit:?}"));
            book = self.shared.news.wait_timeout(book, left).unwrap().0;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// Serves one connection of the product until it closes or is cut.
    fn serve(&self, mut stream: TcpStream) {
        let Ok(clone) = stream.try_clone() else { return };
        let _ = stream.set_nodelay(true);
        let mut reader = BufReader::new(clone);
        while let Ok(Some(request)) = http::read(&mut reader) {
            if !self.pass(&request, &mut stream) {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    /// Passes one call on; false when the connection is to be cut.
    fn pass(&self, request: &http::Message, to: &mut TcpStream) -> bool {
        let start = Instant::now();
        let (call, effect) = self.record(request);
        self.trigger(&call, When::Before);
        match &effect {
            Some(Effect::CutBefore) => {
                self.close(&call, start, Fate::CutBefore, None);
                return false;
            }
            Some(Effect::DelayBefore(time)) => std::thread::sleep(*time),
            Some(Effect::HoldBefore(gate)) => gate.wait(),
            _ => {}
        }
        let upstream = *self.upstream.lock().unwrap();
        let Ok(answer) = http::exchange(upstream, request) else {
            self.close(&call, start, Fate::Broken, None);
            return false;
        };
        self.learn(&call, &answer);
        self.trigger(&call, When::After);
        match &effect {
            Some(Effect::CutAfter) => {
                self.close(&call, start, Fate::CutAfter, Some(&answer));
                return false;
            }
            Some(Effect::DelayAfter(time)) => std::thread::sleep(*time),
            Some(Effect::HoldAfter(gate)) => gate.wait(),
            _ => {}
        }
        // Recorded before it is written, so that whoever has the answer finds it in the record.
        self.close(&call, start, Fate::Answered, Some(&answer));
        answer.write(to, "keep-alive").is_ok() || {
            self.close(&call, start, Fate::Broken, Some(&answer));
            false
        }
    }

    fn record(&self, request: &http::Message) -> (Call, Option<Effect>) {
        let (service, region, access_key) =
            request.header("authorization").and_then(text::credential).unwrap_or_default();
        let form = request.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form"));
        let fields = if form { text::decode_form(&request.body) } else { BTreeMap::new() };
        let mut book = self.book();
        let account = match book.sessions.get(&access_key) {
            Some(account) => account.clone(),
            None => access_key.clone(),
        };
        let call = Call {
            number: book.calls.len() + 1,
            at: SystemTime::now(),
            took: Duration::ZERO,
            action: action_of(request, &fields),
            stack: stack_of(&fields, &book.change_sets),
            service,
            account,
            region,
            access_key,
            fields,
            fate: Fate::Open,
            status: 0,
            error: None,
        };
        book.calls.0.push(call.clone());
        let effect = book.effect_on(&call);
        drop(book);
        self.news.notify_all();
        (call, effect)
    }

    /// Takes from an answer what later calls are understood by, and notes the status at once: the provider did it,
    /// whatever happens to the answer.
    fn learn(&self, call: &Call, answer: &http::Message) {
        let body = answer.text();
        let mut book = self.book();
        if let (Some(key), Some(role)) = (text::value(&body, "AccessKeyId"), call.fields.get("RoleArn")) {
            book.sessions.insert(key, role.split(':').nth(4).unwrap_or("").to_owned());
        }
        if let (Some(id), Some(stack)) = (text::value(&body, "Id"), &call.stack)
            && call.action == "CreateChangeSet"
        {
            book.change_sets.insert(id, stack.clone());
        }
        if let Some(open) = book.open(call) {
            open.status = answer.status();
            open.error = if answer.status() < 300 { None } else { text::value(&body, "Code") };
        }
    }

    fn close(&self, call: &Call, start: Instant, fate: Fate, answer: Option<&http::Message>) {
        if let Some(open) = self.book().open(call) {
            open.fate = fate;
            open.took = start.elapsed();
            open.status = answer.map_or(0, http::Message::status);
        }
        self.news.notify_all();
    }

    fn trigger(&self, call: &Call, when: When) {
        let mut book = self.book();
        let due = book.triggers.iter().position(|(number, at, _)| *number == call.number && *at == when);
        let action = due.map(|at| book.triggers.remove(at).2);
        drop(book);
        if let Some(action) = action {
            action(call);
        }
    }
}

impl Book {
    /// The record of a call, unless `clear` has dropped it (and another one may have its number).
    fn open(&mut self, call: &Call) -> Option<&mut Call> {
        self.calls.0.get_mut(call.number - 1).filter(|open| open.at == call.at)
    }

    fn effect_on(&mut self, call: &Call) -> Option<Effect> {
        for (on, effect) in self.faults.iter_mut().filter(|(on, _)| on.times > 0 && on.fits(call)) {
            if on.skip > 0 {
                on.skip -= 1;
                continue;
            }
            on.times = on.times.saturating_sub(usize::from(on.times != usize::MAX));
            return Some(effect.clone());
        }
        None
    }
}

/// The operation's name: a form's `Action`, the path of the CBOR protocol, or the target header of the JSON one.
fn action_of(request: &http::Message, fields: &BTreeMap<String, String>) -> String {
    let path = request.path();
    fields
        .get("Action")
        .cloned()
        .or_else(|| path.split_once("/operation/").map(|(_, action)| action.to_owned()))
        .or_else(|| request.header("x-amz-target").and_then(|target| target.rsplit('.').next().map(str::to_owned)))
        .unwrap_or_else(|| path.to_owned())
}

fn stack_of(fields: &BTreeMap<String, String>, change_sets: &BTreeMap<String, String>) -> Option<String> {
    let by_name = fields.get("StackName").map(|given| match given.split_once(":stack/") {
        Some((_, rest)) => rest.split('/').next().unwrap_or(rest).to_owned(),
        None => given.clone(),
    });
    by_name.or_else(|| change_sets.get(fields.get("ChangeSetName")?).cloned())
}
