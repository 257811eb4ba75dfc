// What the host asks for, one call after the other.
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <pb_decode.h>

#include "agent.h"

enum { PROTOCOL = 1 };

void answer_done(uint32_t id)
{
	from_agent answer = hyperd_agent_v1_FromAgent_init_zero;
	answer.id = id;
	answer.which_body = hyperd_agent_v1_FromAgent_done_tag;
	link_send(&answer);
}

void answer_failure(uint32_t id, const struct failure *f)
{
	from_agent answer = hyperd_agent_v1_FromAgent_init_zero;
	answer.id = id;
	answer.has_error = true;
	answer.error.code = f->code;
	answer.error.sys_errno = f->sys_errno;
	answer.error.message = (char *)(uintptr_t)f->message;
	link_send(&answer);
}

static void welcome(uint32_t id, const hyperd_agent_v1_Hello *hello)
{
	struct utsname names;
	uname(&names);
	static char version[] = AGENT_VERSION;
	link_reset();
	process_pause_all();
	from_agent answer = hyperd_agent_v1_FromAgent_init_zero;
	answer.id = id;
	answer.which_body = hyperd_agent_v1_FromAgent_welcome_tag;
	answer.body.welcome = (hyperd_agent_v1_Welcome){.protocol = PROTOCOL, .nonce = hello->nonce, .agent_version = version,
		.window = STREAM_WINDOW, .configured = link_configured, .kernel_release = names.release};
	link_send(&answer);
}

__attribute__((noreturn)) static void shut_down(uint32_t id)
{
	answer_done(id);
	link_flush(200);
	process_kill_all();
	sync();
	umount2(DISK_DIR "/scratch", MNT_DETACH);
	sync();
	reboot(RB_POWER_OFF);
	die("power off failed");
}

static bool start_container(uint32_t id, hyperd_agent_v1_StartContainer *s, struct failure *f)
{
	if (!link_configured)
		return fail(f, ERR(PRECONDITION), "start container: the machine is not configured");
	if (!valid_name(s->container_id) || !valid_name(s->rootfs_disk) || !valid_name(s->scratch_disk))
		return fail(f, ERR(INVALID), "start container: ids or disk names");
	return process_start(&s->process, s, s->container_id, id, f);
}

static bool start_process(uint32_t id, hyperd_agent_v1_StartProcess *s, struct failure *f)
{
	if (!link_configured)
		return fail(f, ERR(PRECONDITION), "start process: the machine is not configured");
	return process_start(&s->process, NULL, s->container_id ? s->container_id : "", id, f);
}

static void dispatch(to_agent *m)
{
	struct failure f = {0};
	bool done = true, answered = false;
	switch (m->which_call) {
	case hyperd_agent_v1_ToAgent_hello_tag:
		welcome(m->id, &m->call.hello);
		answered = true;
		break;
	case hyperd_agent_v1_ToAgent_configure_tag:
		done = configure(&m->call.configure, &f);
		break;
	case hyperd_agent_v1_ToAgent_attach_disk_tag:
		done = attach_disk(&m->call.attach_disk, &f);
		break;
	case hyperd_agent_v1_ToAgent_detach_disk_tag:
		done = detach_disk(m->call.detach_disk.name, &f);
		break;
	case hyperd_agent_v1_ToAgent_start_container_tag:
		answered = done = start_container(m->id, &m->call.start_container, &f);
		break;
	case hyperd_agent_v1_ToAgent_start_process_tag:
		answered = done = start_process(m->id, &m->call.start_process, &f);
		break;
	case hyperd_agent_v1_ToAgent_signal_process_tag:
		done = process_signal(m->call.signal_process.process_id, m->call.signal_process.signal, &f);
		break;
	case hyperd_agent_v1_ToAgent_resize_tty_tag:
		done = process_resize(m->call.resize_tty.process_id, m->call.resize_tty.rows, m->call.resize_tty.columns, &f);
		break;
	case hyperd_agent_v1_ToAgent_release_process_tag:
		done = process_release(m->call.release_process.process_id, &f);
		break;
	case hyperd_agent_v1_ToAgent_remove_container_tag:
		done = container_remove(&m->call.remove_container, &f);
		break;
	case hyperd_agent_v1_ToAgent_list_processes_tag:
		process_list(m->id, m->call.list_processes.after);
		answered = true;
		break;
	case hyperd_agent_v1_ToAgent_shutdown_tag:
		shut_down(m->id);
	case hyperd_agent_v1_ToAgent_set_clock_tag:
		done = set_clock(m->call.set_clock.realtime_ns, &f);
		break;
	default:
		done = fail(&f, ERR(UNSUPPORTED), "unknown call");
		break;
	}
	if (!done)
		answer_failure(m->id, &f);
	else if (!answered)
		answer_done(m->id);
}

void handle_control(const uint8_t *payload, size_t size)
{
	to_agent message = hyperd_agent_v1_ToAgent_init_zero;
	pb_istream_t in = pb_istream_from_buffer(payload, size);
	if (pb_decode(&in, hyperd_agent_v1_ToAgent_fields, &message)) {
		dispatch(&message);
		pb_release(hyperd_agent_v1_ToAgent_fields, &message);
		return;
	}
	struct failure f = {0}; // what was decoded of a broken message has been released by the decoder
	fail(&f, ERR(INVALID), "message does not parse: %s", PB_GET_ERROR(&in));
	answer_failure(0, &f);
}
