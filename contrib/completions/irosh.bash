# Completion of irosh in bash: the program itself says how, by the version that is installed.
source <(IROSH_COMPLETE=bash irosh)
