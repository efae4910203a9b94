// One element an invocation.
alias T = f32;
