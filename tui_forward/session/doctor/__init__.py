"""Doctor: tests each hop between this machine and a port of a pod, and says what is broken.

`doctor.Doctor` runs the tests in order and yields a result for each. A test of a hop is a function
in one of the `…_hop` modules; what it finds for later ones is in a `chain.Chain`. What an answer
means is decided by pure functions (`findings`, `permissions`, `certificates`) and by the modules
that the program uses anyway. All connections are the doctor's own, and nothing is changed in the
cluster. Loaded on first use.
"""
