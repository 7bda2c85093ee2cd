//! What a rule may say.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, SourceInfo, operators};

use super::invalid::InvalidRule;

/// Maximum depth of nested operators and calls. Evaluation recurses, and the stack of a function is limited.
pub(super) const DEPTH_LIMIT: usize = 50;
/// The only variable.
pub(super) const CUSTOMER: &str = "customer";
/// What a rule may call besides operators and the macros `has`, `all`, `exists`, `exists_one`, `filter` and `map`.
const FUNCTIONS: [&str; 7] = ["contains", "double", "endsWith", "int", "size", "startsWith", "string"];

/// The names that are defined at one place in a rule.
#[derive(Default, Clone)]
pub(super) struct Scope<'e> {
    macro_variables: Vec<&'e str>,
}

impl Scope<'_> {
    fn within_macro(&self) -> bool {
        !self.macro_variables.is_empty()
    }
}

pub(super) struct Check<'s> {
    pub(super) source: &'s SourceInfo,
}

impl Check<'_> {
    fn refuse(&self, expression: &IdedExpr, message: impl Into<String>) -> InvalidRule {
        let offset = self.source.offset_for(expression.id).map_or(0, |(start, _)| start as usize);
        let before = &self.source.source[..self.source.source.floor_char_boundary(offset)];
        InvalidRule::Refused {
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            message: message.into(),
        }
    }

    pub(super) fn expression(&self, expression: &IdedExpr, scope: &Scope<'_>, depth: usize) -> Result<(), InvalidRule> {
        if depth > DEPTH_LIMIT {
            return Err(self.refuse(
                expression,
                format!("is nested too deeply (at most {DEPTH_LIMIT} levels); split it with && or ||"),
            ));
        }
        let depth = depth + 1;
        match &expression.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if name == CUSTOMER => {
                Err(self.refuse(expression, "uses customer as a whole; name an attribute, as in customer.tier"))
            }
            Expr::Ident(name) if name.starts_with('@') || scope.macro_variables.contains(&name.as_str()) => Ok(()),
            Expr::Ident(name) => {
                Err(self
                    .refuse(expression, format!("names the unknown variable {name}; the only variable is customer")))
            }
            Expr::Select(select) if is_customer(&select.operand) => Ok(()),
            Expr::Select(select) => self.expression(&select.operand, scope, depth),
            Expr::List(list)
                if scope.within_macro() && list.elements.len() > 1 && !list.elements.iter().all(is_literal) =>
            {
                Err(self.refuse(expression, "builds a list within a macro, which could use too much memory"))
            }
            Expr::Map(_) if scope.within_macro() => {
                Err(self.refuse(expression, "builds a map within a macro, which could use too much memory"))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.expression(element, scope, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key, scope, depth)?;
                    self.expression(&entry.value, scope, depth)
                }
                EntryExpr::StructField(field) => self.expression(&field.value, scope, depth),
            }),
            Expr::Call(call) => self.call(expression, call, scope, depth),
            Expr::Comprehension(comprehension) => self.comprehension(expression, comprehension, scope, depth),
            Expr::Struct(_) | Expr::Unspecified => {
                Err(self.refuse(expression, "constructs a message, which rules do not allow"))
            }
        }
    }

    fn call(&self, expression: &IdedExpr, call: &CallExpr, scope: &Scope<'_>, depth: usize) -> Result<(), InvalidRule> {
        let name = call.func_name.as_str();
        // The names of operators, such as `_&&_` and `@in`, cannot be written in a rule.
        let is_operator = !name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_operator && !FUNCTIONS.contains(&name) {
            return Err(self
                .refuse(expression, format!("calls the unknown function {name}; known are {}", FUNCTIONS.join(", "))));
        }
        if name == operators::INDEX && call.args.first().is_some_and(is_customer) {
            // customer['tier'] is the same as customer.tier.
            return call.args[1..].iter().try_for_each(|argument| self.expression(argument, scope, depth));
        }
        call.target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .try_for_each(|argument| self.expression(argument, scope, depth))
    }

    fn comprehension(
        &self,
        expression: &IdedExpr,
        comprehension: &ComprehensionExpr,
        scope: &Scope<'_>,
        depth: usize,
    ) -> Result<(), InvalidRule> {
        if scope.within_macro() {
            return Err(self.refuse(expression, "nests a macro in a macro, which could take too long"));
        }
        if !is_attribute(&comprehension.iter_range) {
            return Err(self.refuse(
                expression,
                "runs a macro over something that is not an attribute; write, for example, customer.cards.exists(c, c == 'gold')",
            ));
        }
        self.expression(&comprehension.iter_range, scope, depth)?;
        let variables = [Some(&comprehension.iter_var), comprehension.iter_var2.as_ref()];
        if variables.into_iter().flatten().any(|variable| variable == CUSTOMER) {
            return Err(self.refuse(expression, "names the variable of a macro customer; choose another name"));
        }
        let mut inner = scope.clone();
        inner.macro_variables.push(&comprehension.iter_var);
        inner.macro_variables.extend(comprehension.iter_var2.as_deref());
        inner.macro_variables.push(&comprehension.accu_var);
        [&comprehension.accu_init, &comprehension.loop_cond, &comprehension.loop_step, &comprehension.result]
            .into_iter()
            .try_for_each(|part| self.expression(part, &inner, depth))
    }
}

fn is_literal(expression: &IdedExpr) -> bool {
    matches!(expression.expr, Expr::Literal(_))
}

pub(super) fn is_customer(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Ident(name) if name == CUSTOMER)
}

/// `customer.a`, `customer.a.b`, and so on.
fn is_attribute(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Select(select)
        if !select.test && (is_customer(&select.operand) || is_attribute(&select.operand)))
}
