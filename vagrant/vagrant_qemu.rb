# frozen_string_literal: true

# A Vagrant provider named `qemu`: the machine is one QEMU process of the user
# who calls, with user-mode networking, in the machine's data directory.  A
# Vagrantfile loads it with `require_relative 'vagrant_qemu'`.  Linux hosts only.
#
# Why a provider of our own: the lab must not touch the host.  The libvirt
# provider needs a system daemon, a bridge and packet forwarding, and over
# user-mode networking its `up` never learns an address; it knows neither the
# clock trouble of software emulation (see `tsc`) nor disks that are written full
# before they are measured.
#
# Disks.  `qemu.disks` maps a name, which is the serial number too, to a size: the
# guest finds /dev/disk/by-id/virtio-NAME.  `qemu.disk_mode` (or QEMU_DISK_MODE)
# says how the host keeps them; it is fixed when the machine is created.
#
#   snapshot  qcow2, part of snapshots: the default
#   full      raw, written from end to end at creation, so that no write of the
#             guest waits for the host to allocate; the guest may discard, and
#             the host ignores it: for timed runs
#   sparse    raw, allocated by the host as the guest writes; what the guest
#             discards is given back: watch it with du
#
# With raw disks the guest is not offered "write zeroes": the host would only note
# the zeroes, and pay for them at the next write.  On uml it is offered them; in the
# mode full the first is refused, and the guest writes zeroes from then on.
#
# Snapshots hold the memory and all qcow2 disks.  In the modes full and sparse they
# do NOT hold the extra disks: take them while the guest uses none of these, and
# expect the disks to hold what was last written to them.
#
# Resuming.  `up` on a machine that is off resumes from the snapshot named
# `qemu.resume` if there is one with memory state, and boots otherwise.  To resume
# is to go back: what was written to the qcow2 disks since the snapshot is lost at
# every halt and up.  QEMU_RESUME= (empty) boots the disks as they are.
#
# Accelerators.  kvm where the processor has it; without it uml, user-mode Linux, where
# its kernel is there (get-kernel.py); else tcg, QEMU in software.  A machine that was
# made for uml stays there, and one that was made for QEMU stays on QEMU, which the
# mode snapshot needs too; by name, the other one is refused.  On uml a machine is
# the same box on the same disks, but: one processor; the kernel of get-kernel.py
# instead of the box's; raw disks only, so that there are no snapshots and `up` boots;
# a flush of the guest ends in the host's page cache (cache unsafe).  See uml.py.
#
# Files in the data directory, for other programs too: qemu.pid, qmp.sock (one
# client at a time), qemu.json (what the process was started with), port (of ssh on
# 127.0.0.1), console.log.

require 'json'
require 'open3'
require 'securerandom'
require 'socket'
require 'timeout'
require 'vagrant'

module VagrantQemu
  class Error < Vagrant::Errors::VagrantError
    def initialize(text)
      @text = text
      super()
    end

    def error_message
      @text
    end
  end

  UML = File.join(__dir__, 'uml.py')

  # Each option may also come from the environment as QEMU_<NAME>, which wins.
  class Config < Vagrant.plugin('2', :config)
    DEFAULTS = {
      memory: 2048,               # MiB
      cpus: 2,
      accel: 'auto',              # auto, kvm, uml or tcg
      cpu: nil,                   # host under kvm, else max
      disk_mode: nil,             # see above
      cache: 'writeback',         # of every disk: writeback and unsafe (which ignores the guest's
                                  # flushes) go through the host's page cache, none does not
      aio: 'threads',             # threads, io_uring, or native (with cache none)
      append: 'root=LABEL=vgroot rw net.ifnames=0 console=ttyS0 mitigations=off apparmor=0',
      clock: nil,                 # more kernel parameters, see tsc
      resume: nil,                # name of a snapshot with VM state that `up` starts from
      fresh: nil,                 # 1: `up` on uml starts from the box's own root disk
      halt_limit: 90              # seconds until an unwilling machine is cut off
    }.freeze
    CACHES = { 'writeback' => 'cache.direct=off,cache.no-flush=off',
               'none' => 'cache.direct=on,cache.no-flush=off',
               'unsafe' => 'cache.direct=off,cache.no-flush=on' }.freeze
    MODES = %w[snapshot full sparse].freeze
    UNITS = { 'M' => 1 << 20, 'G' => 1 << 30, 'T' => 1 << 40 }.freeze
    attr_accessor(*DEFAULTS.keys, :disks)
    attr_writer :folder           # the machine's data directory

    def finalize!
      DEFAULTS.each do |name, default|
        value = ENV["QEMU_#{name.upcase}"] || instance_variable_get("@#{name}") || default
        value = Integer(value, exception: false) if default.is_a?(Integer)
        instance_variable_set("@#{name}", value == '' ? nil : value)
      end
      @disks ||= {}               # name (also the serial number) => size
    end

    def validate(_machine)
      errors = %i[memory cpus halt_limit].reject { |n| instance_variable_get("@#{n}").to_i.positive? }
                                         .map { |n| "#{n} must be a positive number" }
      errors << one_of(:accel, %w[auto kvm uml tcg]) << one_of(:aio, %w[threads io_uring native])
      errors << one_of(:cache, CACHES.keys) << one_of(:disk_mode, [nil, *MODES])
      errors << 'aio native needs cache none' if @aio == 'native' && @cache != 'none'
      @disks.each do |name, size|
        errors << "disk name #{name.inspect} is not [a-z0-9-], at most 20" unless name =~ /\A[a-z][a-z0-9-]{0,19}\z/
        errors << 'no extra disk can be named root' if name == 'root'
        errors << "size #{size.inspect} of disk #{name} is not a number with M, G or T" unless size =~ /\A[1-9]\d*[MGT]\z/
      end
      { 'qemu' => errors.compact }
    end

    def bytes(disk)
      size = @disks.fetch(disk)
      Integer(size[0..-2]) * UNITS.fetch(size[-1])
    end

    # What this machine will run on, and the folder of the kernel of uml.  uml.py decides, for `lab doctor` too: it
    # takes a second, and not every command of Vagrant asks.
    def chosen
      @chosen ||= begin
        wanted = @accel == 'auto' && made_for_uml? ? 'uml' : @accel
        out, err, status = Open3.capture3('python3', UML, 'choose', wanted, @memory.to_s, *beyond_uml)
        raise Error, err.strip.sub('uml.py: ', '') unless status.success?

        JSON.parse(out)
      end
    end

    def processor
      @cpu || (chosen['accelerator'] == 'tcg' ? 'max' : 'host')
    end

    def kernel_parameters
      "#{@append} #{@clock || (chosen['accelerator'] == 'tcg' ? tsc : '')}".strip
    end

    # Under TCG a guest reads the host's own time stamp counter.  On a busy host it
    # would take a wrong rate for it (three times off was seen): tell it the rate.
    def tsc
      khz = (File.read('/proc/cpuinfo')[/^cpu MHz\s*:\s*([\d.]+)/, 1].to_f * 1000).round
      File.exist?('/sys/devices/system/cpu/cpu0/cpufreq') ? 'clocksource=hpet' : "tsc_early_khz=#{khz} tsc=reliable"
    end

    private

    def made_for_uml?
      @folder&.join('uml.json')&.exist?
    end

    # What user-mode Linux cannot do of what this machine is, or is to be.
    def beyond_uml
      return if made_for_uml?
      return 'this machine was made for kvm or tcg: `vagrant destroy` it first' if @folder&.join('root.qcow2')&.exist?

      made = @folder&.join('disk_mode')
      mode = made&.exist? ? made.read.strip : @disk_mode
      'it has raw disks only: QEMU_DISK_MODE=sparse, or full' if mode == 'snapshot'
    end

    def one_of(name, allowed)
      value = instance_variable_get("@#{name}")
      "#{name} must be #{allowed.compact.join(', ')}, not #{value.inspect}" unless allowed.include?(value)
    end
  end

  # A conversation with QEMU over its QMP socket.
  class Monitor
    def self.open(directory, limit)
      Dir.open(directory.to_s) do |dir|         # no path is too long for the socket's name
        UNIXSocket.open("/proc/self/fd/#{dir.fileno}/qmp.sock") do |socket|
          monitor = Timeout.timeout([limit, 20].min) { new(socket) }
          Timeout.timeout(limit) { yield monitor }
        end
      end
    end

    def initialize(socket)
      @socket = socket
      @socket.readline                          # the greeting
      execute('qmp_capabilities')
    end

    def execute(command, arguments = {})
      @socket.puts({ execute: command, arguments: arguments }.to_json)
      reply = JSON.parse(@socket.readline) while reply.nil? || reply.key?('event')
      raise Error, "QMP #{command}: #{reply['error']['desc']}" if reply['error']

      reply['return']
    end

    # Runs a command that works as a job, to the job's end.
    def job(command, arguments)
      id = "vagrant-#{SecureRandom.hex(4)}"
      execute(command, { 'job-id' => id, **arguments })
      job = nil
      loop do
        job = execute('query-jobs').find { |j| j['id'] == id }
        break if job.nil? || job['status'] == 'concluded'

        sleep 0.05
      end
      execute('job-dismiss', { 'id' => id }) if job
      raise Error, "#{command}: #{job['error']}" if job && job['error']
    end
  end

  # The files of the data directory, and the QEMU process that runs on them.
  class Vm
    SNAPSHOT = /\A[A-Za-z][\w.-]*\z/.freeze
    ADVICE = { 'memory' => 'QEMU_MEMORY', 'cpus' => 'QEMU_CPUS', 'accel' => 'QEMU_ACCEL', 'cpu' => 'QEMU_CPU',
               'disks' => 'the Vagrantfile or its variables for disk sizes' }.freeze

    def initialize(machine)
      @machine = machine
      @config = machine.provider_config
      @dir = machine.data_dir
      @config.folder = @dir
    end

    # QEMU's process id, or nil: the uuid on its command line tells it from a
    # stranger that has got the number since.
    def pid
      pid = Integer(File.read(@dir.join('qemu.pid')), exception: false)
      pid if pid && File.read("/proc/#{pid}/cmdline").include?(@machine.id)
    rescue Errno::ENOENT, Errno::ESRCH
      nil
    end

    def running?
      !@machine.id.nil? && !pid.nil?
    end

    def port
      Integer(File.read(@dir.join('port')))
    rescue Errno::ENOENT
      0
    end

    # Does it run on user-mode Linux?  A machine that was made keeps to what it was made with.
    def uml?
      return true if @dir.join('uml.json').exist?

      !@dir.join('root.qcow2').exist? && @config.chosen['accelerator'] == 'uml'
    end

    # The mode of the disks that are there; the configured one before there are any.
    def disk_mode
      File.read(@dir.join('disk_mode')).strip
    rescue Errno::ENOENT
      @config.disk_mode || (uml? ? 'sparse' : 'snapshot')
    end

    def create_disks
      box = @machine.box or raise Error, "The box #{@machine.config.vm.box} is missing."
      if @config.disk_mode && @config.disk_mode != disk_mode
        raise Error, "This machine's disks were made in the mode #{disk_mode}, not #{@config.disk_mode}: " \
                     "`vagrant destroy` it first, or set QEMU_DISK_MODE=#{disk_mode}."
      end
      check_accelerator
      missing = @config.disks.keys.reject { |disk| sized_right?(disk) }
      need_space(missing) if disk_mode == 'full'
      File.write(@dir.join('disk_mode'), "#{disk_mode}\n")
      uml? ? create_root(box) : create_qcow2('root', '-b', box.directory.join('box.img').to_s, '-F', 'qcow2')
      missing.each do |disk|
        disk_mode == 'snapshot' ? create_qcow2(disk, @config.disks[disk]) : create_raw(disk)
      end
    end

    # Starts QEMU, on the saved state of that name if one is given.  It keeps the
    # port of last time if it can; port 0 lets the kernel choose a free one.
    def start(state = nil)
      check(state, settings) if state
      begin
        run(*command(port, paused: !state.nil?))
      rescue Error => e
        raise unless e.message.include?('host forwarding') && port != 0

        run(*command(0, paused: !state.nil?))
      end
      begin
        load(state) if state
        File.write(@dir.join('port'), hmp('info usernet')[/HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)/, 1])
        write_json('qemu.json', settings.merge(
          'uml_package' => uml_package,
          'cache' => uml? ? 'unsafe' : @config.cache, 'aio' => @config.aio, 'append' => @config.kernel_parameters,
          'box' => @machine.box&.name, 'uuid' => @machine.id, 'resumed' => state
        ))
      rescue StandardError
        kill
        raise
      end
    end

    # Waits until sshd greets.  QEMU accepts at once whatever the guest does, so
    # that a client which comes too early would hang on a lost SYN.
    def wait_for_ssh(limit)
      deadline = now + limit
      until now > deadline || yield
        raise Error, "QEMU is gone; the console's end:\n#{console_tail}" unless running?

        begin
          greeting = Socket.tcp('127.0.0.1', port, connect_timeout: 1) { |s| s.read(4) if s.wait_readable(2) }
          return true if greeting == 'SSH-'
        rescue SystemCallError, EOFError
          nil
        end
        sleep 0.2
      end
      false
    end

    def powerdown
      if uml?                                   # it has no power button
        begin
          @machine.communicate.sudo('systemctl poweroff', error_check: false)
        rescue IOError, Vagrant::Errors::SSHDisconnected
          nil                                   # it went down before it could answer
        end
      else
        qmp(5) { |monitor| monitor.execute('system_powerdown') }
      end
      wait_for_end(@config.halt_limit)
    rescue Error, Vagrant::Errors::VagrantError
      false
    end

    def kill
      begin
        qmp(5) { |monitor| monitor.execute('quit') } if running?
      rescue Error
        nil
      end
      return if wait_for_end(5)

      Process.kill(:KILL, pid) if pid
      wait_for_end(10) or raise Error, "QEMU process #{pid} does not end."
    end

    # Name => size of the VM state; 0 for a snapshot of a machine that was off.
    def snapshots
      return {} unless @dir.join('root.qcow2').exist?

      info = JSON.parse(run('qemu-img', 'info', '-U', '--output=json', 'root.qcow2'))
      (info['snapshots'] || []).to_h { |s| [s['name'], s['vm-state-size']] }
    end

    def save(name)
      refuse_snapshots
      raise Error, "#{name.inspect} will not do as a snapshot's name." unless SNAPSHOT.match?(name)
      return offline('-c', name) unless running?

      qmp(600) { |m| m.job('snapshot-save', { tag: name, vmstate: 'root', devices: qcow2_disks }) }
      recorded = read_json('qemu.json').slice(*settings.keys)
      write_json('snapshots.json', read_json('snapshots.json').merge(name => recorded))
    end

    def delete(name)
      running? ? qmp(300) { |m| m.job('snapshot-delete', { tag: name, devices: qcow2_disks }) } : offline('-d', name)
      write_json('snapshots.json', read_json('snapshots.json').reject { |key, _| key == name })
    end

    # Goes back to the snapshot; the machine then runs unless `boot` is false.
    # Returns whether it goes on from saved memory.
    def restore(name, boot: true)
      refuse_snapshots
      with_state = snapshots.fetch(name) { raise Error, "There is no snapshot #{name}." }.positive?
      if boot && with_state
        if running? && differences(name, read_json('qemu.json')).empty?
          live(name)
        else
          check(name, settings)
          kill
          start(name)
        end
      else
        kill
        offline('-a', name)
        start if boot
      end
      boot && with_state
    end

    private

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    def wait_for_end(limit)
      deadline = now + limit
      sleep 0.1 while running? && now < deadline
      !running?
    end

    def run(*command)
      # close_others: QEMU must not hold the caller's pipes and locks open
      out, status = Open3.capture2e(*command, chdir: @dir.to_s, close_others: true)
      raise Error, "#{command.first} failed: #{out.strip}" unless status.success?

      out
    end

    def read_json(file)
      JSON.parse(@dir.join(file).read)
    rescue Errno::ENOENT, JSON::ParserError
      {}
    end

    def write_json(file, value)
      @dir.join("#{file}.part").write("#{JSON.pretty_generate(value)}\n")
      @dir.join("#{file}.part").rename(@dir.join(file))
    end

    def refuse_snapshots
      raise Error, 'user-mode Linux has no snapshots: QEMU_ACCEL=tcg has them.' if uml?
    end

    # ---- disks ----

    def qcow2_disks
      [*('root' unless uml?), *(@config.disks.keys if disk_mode == 'snapshot')]
    end

    def check_accelerator
      raise Error, 'user-mode Linux has raw disks only: QEMU_DISK_MODE=sparse, or full.' if uml? && disk_mode == 'snapshot'

      chosen = @config.chosen
      return if uml? == (chosen['accelerator'] == 'uml')

      raise Error, "This machine was made for #{uml? ? 'uml' : 'kvm or tcg'}, and would run on " \
                   "#{chosen['accelerator']} now (#{chosen['why']}): `vagrant destroy` it first, or set QEMU_ACCEL."
    end

    # The box's root disk, raw, beside the box: the guest writes to a file over it.
    def create_root(box)
      @dir.join('root.cow').delete if @config.fresh && @dir.join('root.cow').exist?
      raw = raw_root(box)
      return if raw.exist?

      part = Pathname("#{raw}.#{Process.pid}")
      run('qemu-img', 'convert', '-O', 'raw', box.directory.join('box.img').to_s, part.to_s)
      part.rename(raw)
    ensure
      part&.delete if part&.exist?
    end

    def raw_root(box)
      box.directory.join('root.raw')
    end

    def file(disk)
      qcow2_disks.include?(disk) ? "#{disk}.qcow2" : "#{disk}.raw"
    end

    def create_qcow2(disk, *options)
      return if @dir.join("#{disk}.qcow2").exist?

      run('qemu-img', 'create', '-q', '-f', 'qcow2', "#{disk}.qcow2.part", *options)
      @dir.join("#{disk}.qcow2.part").rename(@dir.join("#{disk}.qcow2"))
    end

    def create_raw(disk)
      part = @dir.join("#{disk}.raw.part")
      if disk_mode == 'full'
        @machine.ui.info("Writing the disk #{disk} full (#{@config.disks[disk]})...")
        run('dd', 'if=/dev/zero', "of=#{part.basename}", 'bs=1M', "count=#{@config.bytes(disk) >> 20}", 'conv=fsync')
      else
        part.open('w') { |f| f.truncate(@config.bytes(disk)) }
      end
      part.rename(@dir.join("#{disk}.raw"))
    ensure
      part.delete if part.exist?
    end

    # Is the disk there?  One of another size than configured is not what was asked for.
    def sized_right?(disk)
      path = @dir.join(file(disk))
      return false unless path.exist?

      size = if path.extname == '.raw'
               path.size
             else
               JSON.parse(run('qemu-img', 'info', '-U', '--output=json', file(disk)))['virtual-size']
             end
      return true if size == @config.bytes(disk)

      raise Error, "The disk #{disk} of this machine has #{size >> 20} MiB, not #{@config.disks[disk]}: " \
                   '`vagrant destroy` the machine first, or configure the old size.'
    end

    def need_space(disks)
      need = disks.sum { |disk| @config.bytes(disk) }
      free = Integer(run('df', '-P', '-k', '.').lines.last.split[3]) * 1024
      return if need.zero? || need + (1 << 30) <= free

      raise Error, format('The disks %<disks>s take %<need>.1f GiB, and 1 GiB should be left, but %<dir>s has ' \
                          '%<free>.1f GiB free.  Choose smaller disks, or QEMU_DISK_MODE=sparse.',
                          disks: disks.join(', '), need: need / 2.0**30, dir: @dir, free: free / 2.0**30)
    end

    # ---- snapshots ----

    def settings
      { 'memory' => @config.memory, 'cpus' => uml? ? 1 : @config.cpus, 'accel' => @config.chosen['accelerator'],
        'cpu' => @config.processor,
        'disk_mode' => disk_mode, 'disks' => @config.disks }
    end

    def differences(name, current)
      recorded = read_json('snapshots.json')[name] or return []
      recorded.keys.reject { |key| recorded[key] == current[key] }.map { |key| [key, recorded[key], current[key]] }
    end

    # A state fits only a machine like the one that it was saved from.
    def check(name, current)
      wrong = differences(name, current)
      return if wrong.empty?

      lines = wrong.map { |key, old, new| "  #{key}: #{old} when it was saved, #{new} now (#{ADVICE.fetch(key, key)})" }
      raise Error, "The snapshot #{name} does not fit the machine:\n#{lines.join("\n")}\n" \
                   'Go back to the old values; or set QEMU_RESUME= to boot the disks as they are; or ' \
                   "`vagrant snapshot delete #{name}` and save it anew."
    end

    def load(name)
      qmp(300) do |monitor|
        monitor.job('snapshot-load', { tag: name, vmstate: 'root', devices: qcow2_disks })
        monitor.execute('cont')
      end
    end

    # A failure in mid-load leaves neither the old machine nor the new one.
    def live(name)
      load(name)
    rescue StandardError
      kill
      raise
    end

    def offline(flag, name)
      qcow2_disks.each { |disk| run('qemu-img', 'snapshot', flag, name, "#{disk}.qcow2") }
    end

    def console_tail
      @dir.join('console.log').read.lines.last(15).join
    rescue Errno::ENOENT
      ''
    end

    # ---- the process ----

    # File names are relative to the data directory, where QEMU is started: no
    # path can be too long for the socket or hold a comma.
    def command(port, paused: false)
      return uml_command(port) if uml?

      ['qemu-system-x86_64', '-name', "vagrant-#{@machine.name}", '-uuid', @machine.id,
       '-machine', 'pc', '-accel', @config.chosen['accelerator'] == 'tcg' ? 'tcg,thread=multi' : 'kvm', '-cpu', @config.processor,
       '-m', @config.memory.to_s, '-smp', @config.cpus.to_s, '-nodefaults', '-display', 'none',
       '-daemonize', '-pidfile', 'qemu.pid', '-qmp', 'unix:qmp.sock,server=on,wait=off',
       '-chardev', 'file,id=console,path=console.log,append=on', '-serial', 'chardev:console',
       *['root', *@config.disks.keys].flat_map { |disk| block_device(disk) },
       '-device', 'virtio-rng-pci', '-device', 'virtio-net-pci,netdev=net,romfile=',
       '-netdev', "user,id=net,hostfwd=tcp:127.0.0.1:#{port}-:22", *('-S' if paused), *direct_boot]
    end

    def uml_package
      kernel = @config.chosen['kernel']
      kernel && JSON.parse(File.read(File.join(kernel, 'kernel.json'))).dig('packages', 'user-mode-linux')
    end

    def uml_command(port)
      write_json('uml.json', 'memory_mib' => @config.memory, 'kernel' => @config.chosen['kernel'], 'port' => port,
                             'root' => raw_root(@machine.box).to_s, 'disks' => ['root', *@config.disks.keys],
                             'full' => disk_mode == 'full')
      ['python3', UML, 'start', @machine.id, @dir.to_s]
    end

    def block_device(disk)
      raw = file(disk).end_with?('.raw')
      options = "discard=#{raw && disk_mode == 'full' ? 'ignore' : 'unmap'},detect-zeroes=off," \
                "#{Config::CACHES.fetch(@config.cache)}"
      ['-blockdev', "driver=file,node-name=#{disk}-file,filename=#{file(disk)},aio=#{@config.aio},#{options}",
       '-blockdev', "driver=#{raw ? 'raw' : 'qcow2'},node-name=#{disk},file=#{disk}-file,#{options}",
       '-device', "virtio-blk-pci,drive=#{disk},serial=#{disk},write-cache=on,discard=on,write-zeroes=#{raw ? 'off' : 'on'}"]
    end

    def direct_boot
      kernel, initrd = %w[vmlinuz initrd.img].map { |file| @machine.box&.directory&.join(file) }
      return [] unless kernel&.exist? && initrd.exist?

      ['-kernel', kernel.to_s, '-initrd', initrd.to_s, '-append', @config.kernel_parameters]
    end

    def hmp(line)
      qmp(30) { |monitor| monitor.execute('human-monitor-command', { 'command-line' => line }) }
    end

    def qmp(limit, &block)
      Monitor.open(@dir, limit, &block)
    rescue SystemCallError, EOFError, Timeout::Error => e
      raise Error, "QEMU does not answer on qmp.sock (it takes one client at a time): #{e.message}"
    end
  end

  # Sets the guest's clock from the host's, to a few milliseconds: a resumed guest
  # still has the time of its snapshot, and a booted one full seconds only.
  module Clock
    GUEST = <<~PYTHON
      import socket, sys, time
      stream = socket.create_connection(("10.0.2.2", int(sys.argv[1])), 5).makefile("rw")
      best = None
      for _ in range(8):
          before = time.monotonic()
          print(file=stream, flush=True)
          host = float(stream.readline())
          after = time.monotonic()
          if best is None or after - before < best[0]:
              best = after - before, host - (before + after) / 2
      time.clock_settime(time.CLOCK_REALTIME, time.monotonic() + best[1])
    PYTHON

    # The guest asks a few times, over a port of the host's loopback that is open
    # for this alone, and believes the quickest answer.
    def self.set(machine)
      server = TCPServer.new('127.0.0.1', 0)
      answers = Thread.new do
        client = server.accept
        client.puts(format('%.6f', Time.now.to_r)) while client.gets
      rescue SystemCallError, IOError
        nil
      end
      python = "timeout 20 python3 -c '#{GUEST}' #{server.addr[1]}"
      return if machine.communicate.sudo(python, error_check: false).zero?

      machine.communicate.sudo("date -s @#{format('%.3f', Time.now.to_r)}")
    ensure
      answers&.kill
      server&.close
    end
  end

  class Provider < Vagrant.plugin('2', :provider)
    TOOLS = %w[qemu-system-x86_64 qemu-img python3].freeze

    def self.usable?(raise_error = false)
      missing = TOOLS.reject { |tool| Vagrant::Util::Which.which(tool) }
      if raise_error && missing.any?
        raise Error, "The qemu provider needs #{missing.join(' and ')}: apt-get install qemu-system-x86 qemu-utils python3"
      end

      missing.empty?
    end

    def initialize(machine)
      @machine = machine
    end

    def vm
      Vm.new(@machine)
    end

    def action(name)
      Actions.public_send(name) if Actions.respond_to?(name)
    end

    def ssh_info
      { host: '127.0.0.1', port: vm.port, username: 'vagrant' } if vm.running?
    end

    def state
      id = @machine.id.nil? ? :not_created : (vm.running? ? :running : :poweroff)
      text = id.to_s.tr('_', ' ')
      Vagrant::MachineState.new(id, text, "The QEMU machine is #{text}.")
    end

    def to_s
      "QEMU (#{@machine.id || 'new'})"
    end
  end

  module Actions
    B = Vagrant::Action::Builtin

    class << self
      def up
        chain([step { |machine, _| need_box(machine) }], [B::HandleBox], [B::ConfigValidate],
              [step { |machine, _| machine.id ||= SecureRandom.uuid }], [start])
      end

      def start
        chain([B::ConfigValidate], [B::Provision], [B::SyncedFolders], [B::SetHostname],
              [step { |machine, env| power_on(machine, env) }], [connect])
      end

      def halt
        step do |machine, env|
          vm = machine.provider.vm
          next machine.ui.info('Not running.') unless vm.running?

          machine.ui.info(env[:force_halt] ? 'Cutting the power...' : 'Shutting down...')
          next if !env[:force_halt] && vm.powerdown

          machine.ui.warn('The guest did not shut down; cutting the power.') unless env[:force_halt]
          vm.kill
        end
      end

      def destroy
        chain([B::Call, B::DestroyConfirm]) do |env, builder|
          next unless env[:result]

          builder.use(B::ProvisionerCleanup, :before)
          builder.use(step do |machine, _|
            machine.ui.info('Destroying the machine and its disks...')
            machine.provider.vm.kill if machine.id
            machine.id = nil                                    # empties the data directory
          end)
        end
      end

      def reload
        chain([halt], [start])
      end

      def provision
        chain([B::ConfigValidate], [B::Provision])
      end

      def ssh
        chain([B::SSHExec])
      end

      def ssh_run
        chain([B::SSHRun])
      end

      def snapshot_save
        step { |machine, env| machine.provider.vm.save(env[:snapshot_name]) }
      end

      def snapshot_delete
        step { |machine, env| machine.provider.vm.delete(env[:snapshot_name]) }
      end

      def snapshot_restore
        chain([step { |machine, env| machine.provider.vm.restore(env[:snapshot_name], boot: env[:snapshot_start] != false) }],
              [connect],
              [step { |machine, env| machine.provider.vm.delete(env[:snapshot_name]) if env[:snapshot_delete] }])
      end

      private

      def chain(*steps, &block)
        Vagrant::Action::Builder.new.tap do |builder|
          steps[0..-2].each { |use| builder.use(*use) }
          builder.use(*steps.last, &block)
        end
      end

      def step
        ->(env) { yield env[:machine], env }
      end

      # A box that is built here cannot be downloaded: do not try.
      def need_box(machine)
        name = machine.config.vm.box
        return if machine.box || name.nil? || name.include?('/') || machine.config.vm.box_url

        raise Error, "The box #{name} is not installed.  Build and install it: vagrant/build-box.sh --install"
      end

      def power_on(machine, _env)
        vm = machine.provider.vm
        return machine.ui.info('Already running.') if vm.running?

        vm.create_disks
        state = machine.provider_config.resume
        state = nil unless state && vm.snapshots[state].to_i.positive?
        machine.ui.info(state ? "Resuming from the snapshot #{state}..." : 'Booting...')
        vm.start(state)
      end

      def connect
        step do |machine, env|
          vm = machine.provider.vm
          next unless vm.running?

          limit = machine.config.vm.boot_timeout
          greeted = vm.wait_for_ssh(limit) { env[:interrupted] }
          next if env[:interrupted]
          raise Vagrant::Errors::VMBootTimeout unless greeted && machine.communicate.wait_for_ready(limit)

          Clock.set(machine)
        end
      end
    end
  end

  module Snapshots
    def self.snapshot_list(machine)
      machine.id ? machine.provider.vm.snapshots.keys : []
    end
  end

  # Vagrant's index of machines takes two that share a Vagrantfile and a name for one,
  # although VAGRANT_DOTFILE_PATH keeps them apart: they would write one entry, and now
  # and then find it locked by the other.  A new machine of this provider gets its own.
  module OwnIndexEntry
    def set(entry)
      return super if entry.id || entry.provider != 'qemu'

      recover(Vagrant::MachineIndex::Entry.new(SecureRandom.uuid.delete('-'), entry.to_json_struct))
    end
  end
  Vagrant::MachineIndex.prepend(OwnIndexEntry)

  class Plugin < Vagrant.plugin('2')
    name 'qemu'
    description 'Machines as plain QEMU processes.'
    config(:qemu, :provider) { Config }
    provider(:qemu, box_format: %w[qemu libvirt], parallel: false) { Provider }
    provider_capability(:qemu, :snapshot_list) { Snapshots }
  end
end
