"""CEL, the expression language of validation rules and admission policies: a small evaluator.

    errors.py      what can go wrong, with the place in the text
    lexer.py       text → tokens
    parser.py      tokens → syntax tree (`nodes.py`), macros recognised
    types.py       what the checker knows of types
    check.py       tree + declared variables → compile errors
    compile.py     tree → Python closures
    values.py      equality, order and text of CEL values
    loops.py       one run, and the macros that loop in it
    functions.py   the standard functions; strings, lists, times and kubernetes have the others
    program.py     the door: `compile_expression(text, variables)` → `Program` with `run(values)`

It has the standard language with macros, optionals, and the libraries that the Kubernetes API
server offers; message construction and protobuf types are left out: no object needs them.
"""
