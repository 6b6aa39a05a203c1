
'require view';
'require form';
'require poll';
'require rpc';
'require uci';

const callServiceList = rpc.declare({
	object: 'service',
	method: 'list',
	params: ['name'],
	expect: { '': {} },
});

/* What procd says of the agent: its process, or null while it is not running. */
async function runningPid() {
	const services = await L.resolveDefault(callServiceList('hearth'), {});
	const instance = services?.hearth?.instances?.main;
	return instance?.running ? instance.pid : null;
}

function dashboardUrl() {
	const port = uci.get('hearth', 'main', 'lan_port') || '7070';
	return 'http://' + window.location.hostname + ':' + port + '/';
}

function statusText(pid) {
	const label = pid === null ? _('Not running') : _('Running (process %d)').format(pid);
	return E('span', { style: pid === null ? 'color:#c33' : 'color:#293', 'data-hearth': 'status' }, label);
}

function statusCard(pid) {
	const url = dashboardUrl();
	return E('div', { class: 'cbi-section' }, [
		E('h3', {}, _('Status')),
		E('p', { id: 'hearth-status' }, statusText(pid)),
		E('p', {}, [
			_('Pairing, the disk, caps on the line and earnings are on its own dashboard:'),
			' ',
			E('a', { href: url, target: '_blank', rel: 'noreferrer noopener' }, url),
		]),
		pid === null ? E('p', {}, _('Why it does not run is in the system log, under the name hearth.')) : '',
	]);
}

/* An option that, left empty, is the agent's to decide. */
function optional(section, tab, type, name, title, description, datatype, placeholder) {
	const option = section.taboption(tab, type, name, title, description);
	option.rmempty = true;
	option.optional = true;
	if (datatype) option.datatype = datatype;
	if (placeholder) option.placeholder = placeholder;
	return option;
}

function choices(option, names) {
	option.value('', _('Default'));
	for (const name of names) option.value(name);
	return option;
}

return view.extend({
	load() {
		return Promise.all([runningPid(), uci.load('hearth')]);
	},

	async render([pid]) {
		const map = new form.Map('hearth', _('Hearth'), _('A CDN cache on your own USB disk that earns credits.'));
		const section = map.section(form.NamedSection, 'main', 'hearth');
		section.addremove = false;
		section.tab('general', _('General'));
		section.tab('network', _('Network'));
		section.tab('line', _('Line'));
		section.tab('advanced', _('Advanced'), _('Left empty, the agent decides. Few need this.'));
		const add = (...parts) => optional(section, ...parts);
		const { Flag, ListValue, Value } = form;

		const enabled = section.taboption('general', Flag, 'enabled', _('Enabled'));
		enabled.default = '1';
		enabled.rmempty = false;
		add('general', Value, 'disk', _('Disk'), _('Where it is mounted, or "auto" for the largest one. Empty: the one chosen on the dashboard.'), null, '/mnt/sda1');
		add('general', Value, 'fleet_url', _('Fleet'), _('The fleet this box pairs with.'), 'string', 'https://fleet.example');
		const claim = add('general', Value, 'claim_code', _('Claim code'), _('Pairs by itself with this code from the operator.'));
		claim.password = true;
		choices(add('general', ListValue, 'log_level', _('Log level')), ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']);

		add('network', Value, 'lan_port', _('Dashboard port'), null, 'port', '7070');
		add('network', Value, 'content_port', _('Content port'), null, 'port', '7090');
		add('network', Value, 'tls_port', _('Content port (TLS)'), null, 'port', '7443');
		section.taboption('network', Flag, 'open_wan', _('Open to the WAN'), _('Lets clients reach the content ports through this router while Hearth runs. For a router; a box behind one does not need it.'));
		const mapping = section.taboption('network', Flag, 'port_mapping', _('Ask the router for a port'), _('By PCP, NAT-PMP or UPnP.'));
		mapping.default = '1';
		add('network', Value, 'port_check_ms', _('Check of the mapped port every (ms)'), null, 'range(4000,3600000)', '300000');
		add('network', Value, 'bind', _('Address to listen at'), null, 'ipaddr', '0.0.0.0');
		add('network', Value, 'content_url', _('URL clients are sent to'), null, 'string', 'http://192.168.1.5:7090');
		add('network', Value, 'tls_cert', _('Certificate file'), null, 'file');
		add('network', Value, 'tls_key', _('Key file'), null, 'file');

		add('line', Value, 'up_bytes_per_second', _('Upload cap (bytes/s)'), _('Until the household says otherwise on the dashboard. 0: no cap.'), 'uinteger');
		add('line', Value, 'down_bytes_per_second', _('Download cap (bytes/s)'), null, 'uinteger');
		add('line', Value, 'monthly_bytes', _('Bytes a month'), _('Both ways together. 0: no cap.'), 'uinteger');

		add('advanced', Value, 'state_dir', _('State folder'), _('Identity and keys of this box.'), 'string', '/etc/hearth');
		choices(add('advanced', ListValue, 'deliveries', _('Deliveries not yet settled')), ['disk', 'state']);
		add('advanced', Value, 'disk_floor_bytes', _('Bytes left free on the disk'), null, 'uinteger', '16777216');
		add('advanced', Value, 'max_connections', _('Client connections at once'), null, 'range(1,100000)', '1024');
		add('advanced', Value, 'client_connections', _('Connections of one client'), _('0: no bound.'), 'range(0,100000)', '256');
		add('advanced', Value, 'client_requests', _('Requests of one client a second'), _('0: no bound.'), 'range(0,100000)', '200');
		add('advanced', Value, 'workers', _('Processes that serve'), _('A number, or "auto": by the processor and its memory.'), 'or("auto",range(1,16))', 'auto');
		add('advanced', Value, 'origin_connections', _('Connections to one origin'), null, 'range(1,64)', '6');
		add('advanced', Value, 'scrub_days', _('Everything is verified again within (days)'), null, 'range(1,365)', '30');
		add('advanced', Value, 'check_bytes_per_second', _('Verification reads at most (bytes/s)'), null, 'uinteger', '20000000');
		add('advanced', Value, 'retry_ms', _('First wait after a failed download (ms)'), null, 'range(100,3600000)', '30000');
		add('advanced', Value, 'disk_probe_ms', _('Look at the disk every (ms)'), null, 'range(100,60000)', '3000');
		add('advanced', Value, 'drain_ms', _('Responses may take to end (ms)'), null, 'range(0,600000)', '10000');
		add('advanced', Value, 'heartbeat_ms', _('Heartbeat every (ms)'), null, 'range(100,3600000)', '30000');
		add('advanced', Value, 'delivery_flush_ms', _('Deliveries reported every (ms)'), null, 'range(50,3600000)', '5000');
		add('advanced', Value, 'update_root', _('Root of trust for updates'), null, 'file');
		add('advanced', Value, 'update_deadline_ms', _('A new version must prove itself within (ms)'), null, 'range(10000,3600000)', '240000');

		poll.add(async () => {
			const place = document.getElementById('hearth-status');
			if (place) place.replaceChildren(statusText(await runningPid()));
		}, 5);

		return E([], [statusCard(pid), await map.render()]);
	},
});
