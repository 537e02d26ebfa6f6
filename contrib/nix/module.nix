# For NixOS: imports = [ ./contrib/nix/module.nix ];
#
#   programs.irosh.enable = true;       every user types ssh NAME.irosh
#   services.irosh-host.enable = true;  this machine is reached by its key
{
  config,
  lib,
  pkgs,
  ...
}:

let
  client = config.programs.irosh;
  host = config.services.irosh-host;
in
{
  options = {
    programs.irosh = {
      enable = lib.mkEnableOption "names of irosh's hosts in every user's ssh";
      package = lib.mkOption {
        type = lib.types.package;
        default = pkgs.callPackage ./package.nix { };
        defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
        description = "The package to use, for the client and the host.";
      };
    };
    services.irosh-host.enable = lib.mkEnableOption "the irosh host, which leads to this machine's sshd";
  };

  config = lib.mkMerge [
    (lib.mkIf client.enable {
      environment.systemPackages = [ client.package ];
      programs.ssh.extraConfig = "Include ${client.package}/share/irosh.conf";
    })
    (lib.mkIf host.enable {
      services.openssh.enable = lib.mkDefault true;
      environment.systemPackages = [ client.package ];
      users.users.irosh = {
        isSystemUser = true;
        group = "irosh";
        home = "/var/lib/irosh";
      };
      users.groups.irosh = { };
      # The unit of contrib/systemd is the one; a change of the program hands its sessions over.
      systemd.packages = [ client.package ];
      systemd.services.irosh-host.wantedBy = [ "multi-user.target" ];
    })
  ];
}
