# `brew install --HEAD ./contrib/homebrew/irosh.rb`, and then: brew services start irosh
class Irosh < Formula
  desc "Plain OpenSSH to a machine that has no address"
  homepage "https://github.com/irosh/irosh-proxy"
  license any_of: ["MIT", "Apache-2.0"]
  head "https://github.com/irosh/irosh-proxy.git", branch: "main"

  depends_on "cmake" => :build
  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args
    system bin/"irosh", "man", "man"
    man1.install Dir["man/*.1"]
    bash_completion.install "contrib/completions/irosh.bash" => "irosh"
    zsh_completion.install "contrib/completions/_irosh"
    fish_completion.install "contrib/completions/irosh.fish"
  end

  # The same as `irosh service install` has: use one of the two.
  service do
    run [opt_bin/"irosh", "host"]
    keep_alive successful_exit: false
    process_type :interactive
    log_path var/"log/irosh-host.log"
    error_log_path var/"log/irosh-host.log"
  end

  def caveats
    <<~EOS
      ssh learns of hosts' names by: irosh ssh-config install
      To be reached yourself:        irosh service install
    EOS
  end

  test do
    ENV["IROSH_HOME"] = testpath
    assert_match version.to_s, shell_output("#{bin}/irosh-proxy --version") unless head?
    assert_match "Host", shell_output("#{bin}/irosh ssh-config print")
  end
end
