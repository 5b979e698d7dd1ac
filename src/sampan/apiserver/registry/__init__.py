"""Storing objects of any kind: strategy, admission, validation, allocation, transactions.

create: admit -> fill metadata -> prepare -> own fields -> allocate -> validate -> txn
update: read -> change -> admit -> keep what may not change -> prepare -> validate -> txn
        ^---------------------- again, when somebody else was faster ----------------'
delete: preconditions -> admit -> finalizers and grace -> mark or remove
"""
