/*
 * A PAM module that asks: each argument is a step.
 *
 *   off=TEXT on=TEXT   ask, hidden or shown; what follows is the right answer
 *   is=ANSWER          the answer to the question before
 *   both               two questions at once, and a message between them; one and two are right
 *   say=TEXT err=TEXT  a message
 *   user=NAME          change the user
 *   fail               fail
 *   tries              fail: no more tries
 *   nocred             have no credentials
 */
#include <security/pam_appl.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <stdlib.h>
#include <string.h>

static int both(pam_handle_t *pamh)
{
	const struct pam_conv *conv;
	struct pam_message texts[3] = {
		{ PAM_PROMPT_ECHO_OFF, "One: " },
		{ PAM_TEXT_INFO, "in between" },
		{ PAM_PROMPT_ECHO_ON, "Two: " },
	};
	const struct pam_message *list[3] = { &texts[0], &texts[1], &texts[2] };
	struct pam_response *answers = NULL;
	int right;

	if (pam_get_item(pamh, PAM_CONV, (const void **)&conv) != PAM_SUCCESS)
		return PAM_SYSTEM_ERR;
	if (conv->conv(3, list, &answers, conv->appdata_ptr) != PAM_SUCCESS)
		return PAM_CONV_ERR;
	right = !strcmp(answers[0].resp, "one") && !strcmp(answers[2].resp, "two");
	for (int i = 0; i < 3; i++)
		free(answers[i].resp);
	free(answers);
	return right ? PAM_SUCCESS : PAM_AUTH_ERR;
}

static int steps(pam_handle_t *pamh, int argc, const char **argv)
{
	char *answer = NULL;
	int status = PAM_SUCCESS;

	for (int i = 0; i < argc && status == PAM_SUCCESS; i++) {
		const char *value = strchr(argv[i], '=');
		value = value ? value + 1 : "";
		if (!strncmp(argv[i], "off=", 4) || !strncmp(argv[i], "on=", 3)) {
			int style = argv[i][1] == 'f' ? PAM_PROMPT_ECHO_OFF : PAM_PROMPT_ECHO_ON;
			free(answer);
			answer = NULL;
			status = pam_prompt(pamh, style, &answer, "%s", value);
		} else if (!strncmp(argv[i], "is=", 3)) {
			if (answer == NULL || strcmp(answer, value))
				status = PAM_AUTH_ERR;
		} else if (!strncmp(argv[i], "say=", 4)) {
			pam_info(pamh, "%s", value);
		} else if (!strncmp(argv[i], "err=", 4)) {
			pam_error(pamh, "%s", value);
		} else if (!strncmp(argv[i], "user=", 5)) {
			status = pam_set_item(pamh, PAM_USER, value);
		} else if (!strcmp(argv[i], "both")) {
			status = both(pamh);
		} else if (!strcmp(argv[i], "nocred")) {
			continue;
		} else if (!strcmp(argv[i], "tries")) {
			status = PAM_MAXTRIES;
		} else {
			status = PAM_AUTH_ERR;
		}
	}
	free(answer);
	return status;
}

#define STEPS(name) \
	int name(pam_handle_t *pamh, int flags, int argc, const char **argv) \
	{ (void)flags; return steps(pamh, argc, argv); }

STEPS(pam_sm_authenticate)
STEPS(pam_sm_acct_mgmt)
STEPS(pam_sm_open_session)

int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh; (void)flags;
	return argc > 0 && !strcmp(argv[0], "nocred") ? PAM_CRED_ERR : PAM_SUCCESS;
}

int pam_sm_close_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh; (void)flags; (void)argc; (void)argv;
	return PAM_SUCCESS;
}
