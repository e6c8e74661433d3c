/*
 * A Gy client inside freeDiameter, as one of its extensions. It builds requests
 * from freeDiameter's own dictionaries, and judges what the gateway sends by
 * them: the grammar of every command and the type of every AVP.
 *
 * Standard input has one order a line:
 *   ccr TYPE NUMBER SESSION IMSI USED [LEFT-OUT-AVP]
 *   event ACTION SESSION IMSI UNITS
 * and standard output one verdict a line, which starts with "judge:".
 */
#include <freeDiameter/extension.h>

#define TEXT_MAX 256
#define OCTETS_OF_AN_EVENT 1000

static struct dict_object *credit_control;
static pthread_t orders;
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;

static void say(const char *line)
{
	pthread_mutex_lock(&output);
	printf("judge: %s\n", line);
	fflush(stdout);
	pthread_mutex_unlock(&output);
}

static struct dict_object *avp_model(const char *name)
{
	struct dict_object *model = NULL;
	if (fd_dict_search(fd_g_config->cnf_dict, DICT_AVP, AVP_BY_NAME_ALL_VENDORS, name, &model, ENOENT)) {
		char line[TEXT_MAX];
		snprintf(line, sizeof line, "no AVP %s in the dictionaries", name);
		say(line);
		return NULL;
	}
	return model;
}

/* What one order leaves out of its request. */
static const char *left_out = "";

static struct avp *add(msg_or_avp *parent, const char *name, union avp_value *value)
{
	struct avp *avp = NULL;
	struct dict_object *model = avp_model(name);
	if (!model || !strcmp(name, left_out) || fd_msg_avp_new(model, 0, &avp))
		return NULL;
	if (value && fd_msg_avp_setvalue(avp, value))
		return NULL;
	fd_msg_avp_add(parent, MSG_BRW_LAST_CHILD, avp);
	return avp;
}

static void add_text(msg_or_avp *parent, const char *name, const char *text)
{
	union avp_value value = { .os = { .data = (uint8_t *)text, .len = strlen(text) } };
	add(parent, name, &value);
}

static void add_u32(msg_or_avp *parent, const char *name, uint32_t number)
{
	union avp_value value = { .u32 = number };
	add(parent, name, &value);
}

static void add_i32(msg_or_avp *parent, const char *name, int32_t number)
{
	union avp_value value = { .i32 = number };
	add(parent, name, &value);
}

static void add_u64(msg_or_avp *parent, const char *name, uint64_t number)
{
	union avp_value value = { .u64 = number };
	add(parent, name, &value);
}

/* The grammar, the types, and that each AVP is known, nested ones too. */
static int unknown_avps(msg_or_avp *parent)
{
	int unknown = 0;
	struct avp *avp = NULL;
	fd_msg_browse(parent, MSG_BRW_FIRST_CHILD, &avp, NULL);
	while (avp) {
		struct dict_object *model = NULL;
		fd_msg_model(avp, &model);
		if (!model) {
			unknown++;
		} else {
			struct dict_avp_data data;
			fd_dict_getval(model, &data);
			if (data.avp_basetype == AVP_TYPE_GROUPED)
				unknown += unknown_avps(avp);
		}
		fd_msg_browse(avp, MSG_BRW_NEXT, &avp, NULL);
	}
	return unknown;
}

static void verdict(struct msg *msg, char *text, size_t size)
{
	struct fd_pei why;
	memset(&why, 0, sizeof why);
	if (fd_msg_parse_dict(msg, fd_g_config->cnf_dict, &why) || fd_msg_parse_rules(msg, fd_g_config->cnf_dict, &why)) {
		snprintf(text, size, "grammar=%s(%s)", why.pei_errcode ? why.pei_errcode : "bad",
			 why.pei_message ? why.pei_message : "");
	} else {
		snprintf(text, size, "grammar=ok unknown=%d", unknown_avps(msg));
	}
}

static union avp_value *value_in(msg_or_avp *parent, const char *name)
{
	struct dict_object *model = avp_model(name);
	struct avp *avp = NULL;
	fd_msg_browse(parent, MSG_BRW_FIRST_CHILD, &avp, NULL);
	while (avp) {
		struct dict_object *found = NULL;
		struct avp_hdr *header = NULL;
		fd_msg_model(avp, &found);
		fd_msg_avp_hdr(avp, &header);
		if (model && found == model)
			return header->avp_value;
		fd_msg_browse(avp, MSG_BRW_NEXT, &avp, NULL);
	}
	return NULL;
}

static struct avp *group_in(msg_or_avp *parent, const char *name, struct avp *after)
{
	struct dict_object *model = avp_model(name);
	struct avp *avp = NULL;
	fd_msg_browse(after ? (msg_or_avp *)after : parent, after ? MSG_BRW_NEXT : MSG_BRW_FIRST_CHILD, &avp, NULL);
	while (avp) {
		struct dict_object *found = NULL;
		fd_msg_model(avp, &found);
		if (model && found == model)
			return avp;
		fd_msg_browse(avp, MSG_BRW_NEXT, &avp, NULL);
	}
	return NULL;
}

static uint32_t u32_in(msg_or_avp *parent, const char *name)
{
	union avp_value *value = parent ? value_in(parent, name) : NULL;
	return value ? value->u32 : 0;
}

static uint64_t granted_in(msg_or_avp *parent)
{
	struct avp *grant = group_in(parent, "Granted-Service-Unit", NULL);
	union avp_value *octets = grant ? value_in(grant, "CC-Total-Octets") : NULL;
	return octets ? octets->u64 : 0;
}

/* Name of the first AVP in Failed-AVP. */
static void failed_name(struct msg *msg, char *text, size_t size)
{
	struct avp *failed = group_in(msg, "Failed-AVP", NULL), *inner = NULL;
	struct dict_object *model = NULL;
	struct dict_avp_data data;
	text[0] = 0;
	if (!failed)
		return;
	fd_msg_browse(failed, MSG_BRW_FIRST_CHILD, &inner, NULL);
	if (inner && !fd_msg_model(inner, &model) && model) {
		fd_dict_getval(model, &data);
		snprintf(text, size, " failed=%s", data.avp_name);
	}
}

static void answered(void *session, struct msg **msg)
{
	char line[1024], grammar[TEXT_MAX], failed[TEXT_MAX];
	struct msg_hdr *header = NULL;
	struct avp *group = NULL;
	size_t at;

	fd_msg_hdr(*msg, &header);
	verdict(*msg, grammar, sizeof grammar);
	failed_name(*msg, failed, sizeof failed);
	at = snprintf(line, sizeof line, "answer %s result=%u number=%u error=%d %s%s", (char *)session,
		      u32_in(*msg, "Result-Code"), u32_in(*msg, "CC-Request-Number"),
		      !!(header->msg_flags & CMD_FLAG_ERROR), grammar, failed);
	if (granted_in(*msg))
		at += snprintf(line + at, sizeof line - at, " granted=%llu", (unsigned long long)granted_in(*msg));
	while ((group = group_in(*msg, "Multiple-Services-Credit-Control", group)) && at < sizeof line)
		at += snprintf(line + at, sizeof line - at, " group=%u:%u:%llu", u32_in(group, "Rating-Group"),
			       u32_in(group, "Result-Code"), (unsigned long long)granted_in(group));
	say(line);
	free(session);
	fd_msg_free(*msg);
	*msg = NULL;
}

/* RAR and ASR: judged, said, and answered with success. */
static int asked(struct msg **msg, struct avp *avp, struct session *session, void *data, enum disp_action *action)
{
	char line[TEXT_MAX * 3], grammar[TEXT_MAX];
	struct msg_hdr *header = NULL;
	union avp_value *id;
	(void)avp, (void)session, (void)data;

	if (fd_msg_hdr(*msg, &header) || !(header->msg_flags & CMD_FLAG_REQUEST))
		return 0;
	verdict(*msg, grammar, sizeof grammar);
	id = value_in(*msg, "Session-Id");
	snprintf(line, sizeof line, "request %s %.*s %s", header->msg_code == 258 ? "RAR" : "ASR",
		 id ? (int)id->os.len : 0, id ? (char *)id->os.data : "", grammar);
	say(line);
	fd_msg_new_answer_from_req(fd_g_config->cnf_dict, msg, 0);
	fd_msg_rescode_set(*msg, "DIAMETER_SUCCESS", NULL, NULL, 1);
	*action = DISP_ACT_SEND;
	return 0;
}

static struct msg *begin(const char *session)
{
	struct msg *msg = NULL;
	struct dict_object *model = NULL;
	fd_dict_search(fd_g_config->cnf_dict, DICT_COMMAND, CMD_BY_NAME, "Credit-Control-Request", &model, ENOENT);
	if (!model || fd_msg_new(model, MSGFL_ALLOC_ETEID, &msg))
		return NULL;
	add_text(msg, "Session-Id", session);
	fd_msg_add_origin(msg, 1);
	add_text(msg, "Destination-Realm", "linegate.example");
	add_u32(msg, "Auth-Application-Id", 4);
	add_text(msg, "Service-Context-Id", "32251@3gpp.org");
	return msg;
}

static void add_subscriber(struct msg *msg, const char *imsi)
{
	struct avp *group = add(msg, "Subscription-Id", NULL);
	add_i32(group, "Subscription-Id-Type", 1);
	add_text(group, "Subscription-Id-Data", imsi);
}

static void add_apn(struct msg *msg)
{
	struct avp *service = add(msg, "Service-Information", NULL);
	struct avp *packet = add(service, "PS-Information", NULL);
	add_text(packet, "Called-Station-Id", "iot.example");
}

static void send_it(struct msg *msg, const char *session)
{
	if (fd_msg_send(&msg, answered, strdup(session)))
		say("cannot send");
}

static void ccr(int type, unsigned number, const char *session, const char *imsi, unsigned long long used)
{
	struct msg *msg = begin(session);
	add_i32(msg, "CC-Request-Type", type);
	add_u32(msg, "CC-Request-Number", number);
	add_subscriber(msg, imsi);
	add_i32(msg, "Multiple-Services-Indicator", 1);
	for (unsigned rating_group = 10; rating_group <= 20; rating_group += 10) {
		struct avp *group = add(msg, "Multiple-Services-Credit-Control", NULL);
		add_u32(group, "Rating-Group", rating_group);
		if (type != 3)
			add(group, "Requested-Service-Unit", NULL);
		if (type != 1) {
			struct avp *units = add(group, "Used-Service-Unit", NULL);
			add_u64(units, "CC-Total-Octets", used);
		}
	}
	if (type == 3)
		add_i32(msg, "Termination-Cause", 1);
	add_apn(msg);
	send_it(msg, session);
}

static void event(int action, const char *session, const char *imsi, unsigned long long units)
{
	struct msg *msg = begin(session);
	struct avp *requested;
	add_i32(msg, "CC-Request-Type", 4);
	add_u32(msg, "CC-Request-Number", 0);
	add_i32(msg, "Requested-Action", action);
	add_subscriber(msg, imsi);
	requested = add(msg, "Requested-Service-Unit", NULL);
	add_u64(requested, "CC-Total-Octets", units * OCTETS_OF_AN_EVENT);
	add_apn(msg);
	send_it(msg, session);
}

static void *take_orders(void *nothing)
{
	char line[1024], session[TEXT_MAX], imsi[TEXT_MAX], without[TEXT_MAX];
	int kind;
	unsigned number;
	unsigned long long amount;
	(void)nothing;

	fd_core_waitstartcomplete();
	while (fgets(line, sizeof line, stdin)) {
		without[0] = 0;
		if (sscanf(line, "ccr %d %u %255s %255s %llu %255s", &kind, &number, session, imsi, &amount, without) >= 5) {
			left_out = without;
			ccr(kind, number, session, imsi, amount);
			left_out = "";
		} else if (sscanf(line, "event %d %255s %255s %llu", &kind, session, imsi, &amount) == 4) {
			event(kind, session, imsi, amount);
		} else {
			say("no such order");
		}
	}
	return NULL;
}

static int judge_entry(char *nothing)
{
	struct disp_when when = { 0 };
	application_id_t id = 4;
	const char *commands[] = { "Re-Auth-Request", "Abort-Session-Request" };
	(void)nothing;

	CHECK_FCT(fd_dict_search(fd_g_config->cnf_dict, DICT_APPLICATION, APPLICATION_BY_ID, &id, &credit_control, ENOENT));
	when.app = credit_control;
	for (int i = 0; i < 2; i++) {
		CHECK_FCT(fd_dict_search(fd_g_config->cnf_dict, DICT_COMMAND, CMD_BY_NAME, commands[i], &when.command, ENOENT));
		CHECK_FCT(fd_disp_register(asked, DISP_HOW_CC, &when, NULL, NULL));
	}
	CHECK_FCT(fd_disp_app_support(credit_control, NULL, 1, 0));
	CHECK_POSIX(pthread_create(&orders, NULL, take_orders, NULL));
	return 0;
}

void fd_ext_fini(void)
{
	pthread_cancel(orders);
	pthread_join(orders, NULL);
}

EXTENSION_ENTRY("judge", judge_entry, "dict_dcca_3gpp");
