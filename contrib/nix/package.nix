# nix-build -E 'with import <nixpkgs> { }; callPackage ./contrib/nix/package.nix { }'
{
  lib,
  rustPlatform,
  cmake,
  installShellFiles,
  coreutils,
  util-linux,
}:

rustPlatform.buildRustPackage {
  pname = "irosh";
  version = (lib.importTOML ../../Cargo.toml).package.version;

  src = lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;

  nativeBuildInputs = [
    cmake
    installShellFiles
  ];
  # cmake is the build scripts' of libraries.
  dontUseCmakeConfigure = true;

  # The tests want an sshd, and namespaces: scripts/test.
  doCheck = false;

  postInstall = ''
    $out/bin/irosh man man
    installManPage man/*.1
    installShellCompletion --cmd irosh --bash contrib/completions/irosh.bash \
      --zsh contrib/completions/_irosh --fish contrib/completions/irosh.fish
    # With the programs that this package has.
    for unit in irosh-host.service irosh-host-user.service irosh-agent.service irosh-agent.socket; do
      case $unit in
        irosh-host.service) folder=system ;;
        *) folder=user ;;
      esac
      install -D -m 644 contrib/systemd/$unit $out/lib/systemd/$folder/$unit
      substituteInPlace $out/lib/systemd/$folder/$unit \
        --replace-quiet /usr/bin/irosh $out/bin/irosh \
        --replace-quiet /bin/chown ${coreutils}/bin/chown \
        --replace-quiet /bin/kill ${util-linux}/bin/kill
    done
    substitute contrib/ssh_config/irosh.conf $out/share/irosh.conf \
      --replace-fail "irosh-proxy -" "$out/bin/irosh-proxy -"
  '';

  meta = {
    description = "Plain OpenSSH to a machine that has no address";
    homepage = "https://github.com/irosh/irosh-proxy";
    license = with lib.licenses; [
      mit
      asl20
    ];
    mainProgram = "irosh";
    platforms = lib.platforms.unix;
  };
}
