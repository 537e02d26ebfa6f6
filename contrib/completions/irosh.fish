# Completion of irosh in fish: the program itself says how, by the version that is installed.
IROSH_COMPLETE=fish irosh | source
