// answer model.onnx photo.ppm: what a file of `lensmith export RUN --any-size` says of a picture, by OpenVINO.
#include <fstream>
#include <iostream>
#include <regex>
#include <openvino/openvino.hpp>

int main(int, char** arguments) {
    ov::Core core;
    auto model = core.read_model(arguments[1]);    // an ONNX file, or model.xml
    auto facts = model->get_rt_info<std::string>("framework", "lensmith");
    std::ifstream file(arguments[2], std::ios::binary);
    std::string format;
    size_t width, height, largest;
    file >> format >> width >> height >> largest;    // the header of a PPM (colours) or PGM (gray) file
    size_t channels = format == "P6" ? 3 : 1, area = width * height;
    std::string pixels(channels * area, 0);
    file.ignore().read(pixels.data(), pixels.size());
    ov::Tensor picture(ov::element::u8, {1, channels, height, width});
    for (size_t i = 0; i < pixels.size(); i++)    // plane after plane
        picture.data<uint8_t>()[i % channels * area + i / channels] = pixels[i];
    auto request = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32)).create_infer_request();
    request.set_input_tensor(picture);
    request.infer();
    std::regex targets(R"#("([^"]+)": \{"kind": "(\w+)", "classes": \[(.*?)\], "threshold": [^,]+, "shown": ([^,]+))#");
    std::regex names(R"#("((?:[^"\\]|\\.)*)")#");
    for (std::sregex_iterator target(facts.begin(), facts.end(), targets), end; target != end; ++target) {
        std::string name = (*target)[1], kind = (*target)[2], list = (*target)[3];
        std::vector<std::string> classes(std::sregex_token_iterator(list.begin(), list.end(), names, 1), {});
        auto answer = request.get_tensor(kind == "masks" ? name + "_boxes" : name);
        if (kind == "mask") std::cout << name << ": the classes of " << answer.get_size() << " pixels\n";
        else if (kind != "boxes" && kind != "masks")
            for (size_t i = 0; i < classes.size(); i++) std::cout << name << " " << classes[i] << " " << answer.data<float>()[i] << "\n";
        else for (size_t i = 0; i < request.get_tensor(name + "_count").data<int64_t>()[0]; i++) {
            auto score = request.get_tensor(name + "_scores").data<float>()[i], *box = answer.data<float>() + 4 * i;
            if (score < std::stof((*target)[4])) break;    // the best come first
            std::cout << name << " " << classes[request.get_tensor(name + "_classes").data<int64_t>()[i]] << " " << score << " at " << box[0] << " " << box[1] << " " << box[2] << " " << box[3] << "\n";
        }
    }
}
