//! What belongs to one player of a step: its guard, its assigns, and its own names for the optimizer's step count, the
//! learning rate and the loss scale. So two players of one step (a generator and its critic) share nothing by mistake.

use super::op::Type;
use super::record::{Tape, Var};
use crate::base::{Error, Result};

/// The name of a player; `None` outside any scope.
pub(super) type Scope = Option<String>;

fn shown(scope: &Scope) -> String {
    scope.as_ref().map_or_else(|| "the part outside any scope".to_string(), |player| format!("the scope {player}"))
}

impl Tape {
    /// Records `f` in the scope of `player`. Guards and assigns in it belong to the player, and [`Tape::scoped`] puts
    /// the player's name before other names. A player that is recorded again has the same scope. It is an error if
    /// scopes nest, or if the player's name is empty or has a dot.
    pub fn scope<T>(&mut self, player: &str, f: impl FnOnce(&mut Tape) -> Result<T>) -> Result<T> {
        if let Some(outer) = &self.scope {
            return Err(Error::Failed(format!(
                "the scope {player} begins within the scope {outer}; end that one first, scopes do not nest"
            )));
        }
        if player.is_empty() || player.contains('.') {
            return Err(Error::Failed(format!("\"{player}\" names no scope; take a name without a dot")));
        }
        self.scope = Some(player.to_string());
        let r = f(self);
        self.scope = None;
        r
    }

    /// `<player>.<name>` in a scope, `name` outside any scope. It names a state or scalar that each player has for
    /// itself.
    pub fn scoped(&self, name: &str) -> String {
        self.scope.as_ref().map_or_else(|| name.to_string(), |player| format!("{player}.{name}"))
    }

    /// Assigns `value` to the state at the end of the step. A read that was recorded before the assign sees the old
    /// value, a read that is recorded later sees the new value. All assigns of a step take effect together at its end.
    /// The assigns of a scope do not take effect if the guard of that scope is raised.
    ///
    /// A state may be assigned again after the assigned value was read, or with a value that depends on it. Any other
    /// second assign would lose the first and is an error. It is also an error to assign another type, or a state that
    /// was never read.
    pub fn assign(&mut self, name: &str, value: Var) -> Result<()> {
        let ty = self.ty(value);
        let Some(v) = self.states.get(name) else {
            return Err(Error::Failed(format!(
                "state {name} is assigned but was never read; name it with Tape::state first"
            )));
        };
        if self.ty(v.first) != ty {
            return Err(Error::Failed(format!("state {name} is {} and cannot take {ty}", self.ty(v.first))));
        }
        if v.unread && !self.depends(value, v.newest) {
            return Err(Error::Failed(format!(
                "state {name} is assigned twice, and nothing reads what it was assigned first; read it with Tape::state in \
                 between, or leave one assign out"
            )));
        }
        let scope = self.scope.clone();
        if let Some(v) = self.states.get_mut(name) {
            (v.newest, v.unread) = (value, true);
            v.scopes.insert(scope);
        }
        Ok(())
    }

    /// Whether the step has assigned the state so far. Callers that may run once in a step check it.
    pub fn assigned(&self, name: &str) -> bool {
        self.states.get(name).is_some_and(|v| !v.scopes.is_empty())
    }

    /// It is an error if the step has assigned the state already. `what` names the thing that a step may have once for
    /// the state.
    pub fn expect_unassigned(&self, name: &str, what: &str) -> Result<()> {
        if !self.assigned(name) {
            return Ok(());
        }
        Err(Error::Failed(format!(
            "{name} is written by a second {what} in one step; take another name, record a second player in a scope of its \
             own (Tape::scope), or leave one out"
        )))
    }

    /// Whether `value` is computed from `from`, or is it.
    fn depends(&self, value: Var, from: Var) -> bool {
        let mut needed = vec![false; self.values.len()];
        needed[value.index()] = true;
        for n in self.nodes.iter().rev().filter(|n| n.outputs.iter().all(|v| v.index() > from.index())) {
            if n.outputs.iter().any(|v| needed[v.index()]) {
                n.inputs.iter().for_each(|v| needed[v.index()] = true);
            }
        }
        needed[from.index()]
    }

    /// Sets the guard of the scope that is being recorded: a u32 [1] flag. While the flag is not zero, no assign of
    /// that scope takes effect, whether it is recorded before or after. A scope has one guard; a second one is an
    /// error.
    pub fn set_guard(&mut self, flag: Var) -> Result<()> {
        if self.ty(flag) != Type::u32([1]) {
            return Err(Error::Failed(format!("a guard is U32 [1], not {}", self.ty(flag))));
        }
        if self.guards.contains_key(&self.scope) {
            return Err(Error::Failed(format!(
                "{} has a guard already; record a second player in a scope of its own (Tape::scope)",
                shown(&self.scope)
            )));
        }
        self.guards.insert(self.scope.clone(), flag);
        Ok(())
    }

    /// The guard of the scope that is being recorded, if it is set. Ops that write state in place take it.
    pub fn guard(&self) -> Option<Var> {
        self.guards.get(&self.scope).copied()
    }

    /// The guard that the assigns of a state obey.
    pub(super) fn guard_of(&self, state: &str) -> Option<Var> {
        let scope = self.states.get(state).and_then(|v| v.scopes.first())?;
        self.guards.get(scope).copied()
    }

    /// Checks what only the whole recording shows. It is an error if two outputs have one name, or if a state's assigns
    /// have different guards, because one assign could be held back without the other.
    pub(super) fn expect_sound(&self) -> Result<()> {
        let mut names: Vec<&str> = self.outputs.iter().map(|o| o.0.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let what = format!("the tape has two outputs called {}; give each a name of its own", twice[0]);
            return Err(Error::Failed(what));
        }
        for (name, v) in &self.states {
            let mut scopes = v.scopes.iter();
            let Some(first) = scopes.next() else { continue };
            if let Some(other) = scopes.find(|s| self.guards.get(*s) != self.guards.get(first)) {
                return Err(Error::Failed(format!(
                    "state {name} is assigned in {} and in {}, which have guards of their own; assign it in one scope",
                    shown(first),
                    shown(other)
                )));
            }
        }
        Ok(())
    }
}
